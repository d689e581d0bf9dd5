"""The shipped detections of scans: what each finds, and what it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditsense import Detector, EventReader, Host, shipped_detections
from auditsense.cli import main
from auditsense.detections.event_table import EventMapping
from auditsense.detections.exceptions import with_exceptions
from auditsense.detections.loader import known_harmless
from auditsense.testing import open_event

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditsense import Detection, Document

HOST = Host("0123456789abcdef0123456789abcdef", "here")
START = 1_795_493_114_674
IN_A_LOGIN = {"ses=4294967295": "ses=7", "auid=4294967295": "auid=1000"}
ENTER = 426  # io_uring_enter on x86_64
OPENDIR: dict[str, Any] = {"a2": "90800"}
"""Flags that Elastic's rule does not look for."""


def listings(times: int, every_ms: int = 100, *, at_ms: int = 0, pid: int = 7, **fields: Any) -> bytes:  # noqa: ANN401 - those of open_event
    serial = 1 + at_ms + 1_000_000 * pid
    return b"".join(
        open_event(ms=START + at_ms + every_ms * n, serial=serial + n, pid=pid, **fields).text
        for n in range(times)
    )


def operation(n: int, every_ms: int = 100, number: int = 18) -> bytes:
    """Return what a thread of io_uring makes: captured on Linux 6.18, with another stamp and pid."""
    ms = START + every_ms * n
    stamp = f"audit({ms // 1000}.{ms % 1000:03}:{n + 1}):"
    return (
        f"type=URINGOP msg={stamp} uring_op={number} success=yes exit=5 items=1 ppid=26500 pid=7 uid=65534 "
        "gid=65534 euid=65534 suid=65534 fsuid=65534 egid=65534 sgid=65534 fsgid=65534 subj=unconfined "
        'key="auditsense"\n'
        f'type=CWD msg={stamp} cwd="/"\n'
        f'type=PATH msg={stamp} item=0 name="/proc" inode=1 dev=00:15 mode=040555 ouid=0 ogid=0 rdev=00:00 '
        "nametype=NORMAL cap_fp=0 cap_fi=0 cap_fe=0 cap_fver=0 cap_frootid=0\n"
        f"type=EOE msg={stamp}\n"
    ).encode()


def submission(n: int, every_ms: int = 100) -> bytes:
    """Return what a call makes that opens by io_uring: the operation, then the call."""
    first, *rest = operation(n, every_ms).splitlines(keepends=True)
    call = open_event(ms=START + every_ms * n, serial=n + 1, pid=7, syscall=ENTER, a0="4", a2="1").text
    return first + call.splitlines(keepends=True)[0] + b"".join(rest)


def found(*texts: bytes, detections: Sequence[Detection] | None = None, **more: Any) -> list[Document]:  # noqa: ANN401 - of Detector
    with Detector(detections, host=HOST, **more) as detector:
        documents = [document for text in texts for document in detector.feed_text(text)]
        documents += detector.finish()
    return [document for document in documents if document["auditsense"]["state"] == "alert"]


def names(documents: Iterable[Document]) -> list[str]:
    return [document["rule"]["id"] for document in documents]


# --- by rate ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "detection"),
    [
        ({}, "pspy"),
        (OPENDIR, "proc-scan"),
        ({"path": "/proc/", "a2": "80000"}, "proc-scan"),
        ({"a2": "1400080000"}, "proc-scan"),
        ({"syscall": 437, "a2": "7ffe0000"}, "proc-scan"),
        ({"syscall": 2, "a0": "7ffe0000", "a2": "0"}, "proc-scan"),
        ({"arch": 0x40000003, "syscall": 5, "a2": "0"}, "proc-scan"),
        ({**OPENDIR, "comm": "packetbeat"}, "proc-scan"),
        ({**OPENDIR, "exe": "/srv/.x/scan"}, "proc-scan-slow"),
    ],
)
def test_one_alert_for_one_scan_however_it_opens_proc(fields: dict[str, Any], detection: str) -> None:
    assert names(found(listings(40, **fields))) == [detection]


def test_alert_tells_rate_call_actor_and_since_when() -> None:
    (alert,) = found(listings(40, **OPENDIR))
    assert alert["auditsense"]["rate"] == 10.0
    assert alert["auditd"]["data"]["syscall"] == "openat"
    assert (alert["process"]["executable"], alert["user"]["id"]) == ("/usr/local/bin/pspy64", "65534")
    assert alert["auditd"]["session"] == "unset"
    assert alert["event"]["start"] == "2026-11-24T04:05:14.674Z"


@pytest.mark.parametrize("every_ms", [209, 1000])
def test_program_that_lists_less_than_five_times_a_second_is_a_monitor(every_ms: int) -> None:
    assert names(found(listings(60, every_ms, **OPENDIR))) == []


@pytest.mark.parametrize("path", ["/sys", "/proc/7/task", "/etc"])
def test_only_the_root_of_a_procfs_counts(path: str) -> None:
    assert names(found(listings(40, path=path, **OPENDIR))) == []


@pytest.mark.parametrize(
    ("change", "to"), [(b"inode=1 ", b"inode=2 "), (b"mode=040555", b"mode=041777"), (b"dev=", b"xdev=")]
)
def test_root_is_known_by_inode_mode_and_device(change: bytes, to: bytes) -> None:
    """The root of a tmpfs has the inode as well, and another mode."""
    assert names(found(listings(40, **OPENDIR).replace(change, to))) == []


# --- by session ------------------------------------------------------------------------------


def in_session(text: bytes, session: str = "7") -> bytes:
    return text.replace(b"ses=4294967295", f"ses={session}".encode())


def test_processes_of_a_session_count_together() -> None:
    texts = [listings(1, pid=100 + n, at_ms=100 * n, exe="/usr/bin/ps", **OPENDIR) for n in range(30)]
    assert names(found(*map(in_session, texts))) == ["proc-scan-session"]
    assert names(found(*texts)) == []  # services have no session


def test_sessions_do_not_count_together() -> None:
    texts = [
        in_session(listings(1, pid=100 + n, at_ms=100 * n, exe="/usr/bin/ps", **OPENDIR), str(n % 2))
        for n in range(40)
    ]
    assert names(found(*texts)) == []


def test_process_in_a_session_is_no_second_alert() -> None:
    assert names(found(in_session(listings(60, **OPENDIR)))) == ["proc-scan"]
    assert names(found(in_session(listings(60)))) == ["pspy"]


# --- slowly ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "alerts"),
    [
        ({"exe": "/home/a/scan"}, ["proc-scan-slow"]),
        ({"exe": "/run/user/1000/scan"}, ["proc-scan-slow"]),
        ({"exe": "/home/a/scan", "uid": 0}, []),
        ({"exe": "/usr/bin/htop"}, []),
        ({"exe": "/opt/agent/bin/agent"}, []),
    ],
)
def test_slow_scan_is_found_of_a_program_of_no_package(fields: dict[str, Any], alerts: list[str]) -> None:
    assert names(found(listings(20, 5000, **OPENDIR, **fields))) == alerts


def test_slow_scan_counts_processes_of_one_program_and_user() -> None:
    def turns(**fields: Any) -> list[bytes]:  # noqa: ANN401 - those of open_event
        return [
            listings(1, pid=100 + n, at_ms=4000 * n, exe="/srv/scan", **OPENDIR, **fields) for n in range(14)
        ]

    assert names(found(*turns())) == ["proc-scan-slow"]
    two_users = [turn if n % 2 else turn.replace(b"uid=65534", b"uid=1000") for n, turn in enumerate(turns())]
    assert names(found(*two_users)) == []


# --- io_uring --------------------------------------------------------------------------------


def test_operations_that_wait_for_earlier_events_stay_at_a_reload() -> None:
    """Their class comes from the URINGOP record, also in the next rule table."""
    with Detector(host=HOST, order=64) as detector:
        documents = detector.feed_text(b"".join(operation(n) for n in range(30)))
        documents += detector.reload(shipped_detections())
        documents += detector.finish()
    alerts = [document for document in documents if document["auditsense"]["state"] == "alert"]
    assert names(alerts) == ["proc-scan"]


def test_operations_of_a_thread_of_a_ring_are_found() -> None:
    (alert,) = found(b"".join(operation(n) for n in range(40)))
    assert (alert["rule"]["id"], alert["process"]["pid"]) == ("proc-scan", 7)
    assert alert["auditd"]["data"]["syscall"] == "openat"
    assert "executable" not in alert["process"]  # the record does not name it
    assert alert["event"]["outcome"] == "success"


def test_calls_that_submit_operations_are_found() -> None:
    (alert,) = found(b"".join(submission(n) for n in range(40)))
    assert alert["rule"]["id"] == "proc-scan"
    assert alert["auditd"]["data"]["syscall"] == "io_uring_enter"
    assert alert["process"]["executable"] == "/usr/local/bin/pspy64"


@pytest.mark.parametrize(("number", "alerts"), [(18, 1), (28, 1), (36, 0), (999, 0)])
def test_operation_is_known_by_its_number(number: int, alerts: int) -> None:
    text = b"".join(operation(n, number=number) for n in range(40))
    assert len(found(text)) == alerts


def test_elastics_mapping_has_no_operations() -> None:
    """Its documents begin with a SYSCALL record."""
    text = b"".join(operation(n) for n in range(40))
    assert found(text, mapping=EventMapping.AUDITD_MANAGER) == []


def test_event_of_an_operation_names_it() -> None:
    with EventReader(host=HOST) as reader:
        (event,) = [*reader.feed_text(operation(1)), *reader.flush()]
        assert (event.syscall, event.pid, event.uid, event.path) == ("openat", 7, 65534, "/proc")
        assert (event.comm, event.exe, event.arch) == (None, None, None)


# --- next to Elastic's rule ---------------------------------------------------------------------


def test_elastics_rule_finds_the_same_as_alone() -> None:
    """Nothing that it finds is missed or renamed where the others are looked for as well."""
    pspy = shipped_detections()[:1]
    texts = [listings(30), listings(30, pid=8, at_ms=20_000, **OPENDIR), in_session(listings(30, pid=9))]
    alone = found(*texts, detections=pspy)
    assert [one for one in found(*texts) if one["rule"]["id"] == "pspy"] == alone
    assert len(alone) == 2


@pytest.mark.parametrize(
    ("fields", "detection"),
    [
        ({"exe": "/usr/bin/nmon"}, "proc-scan"),
        ({"exe": "/usr/bin/python3.11", "comm": "mprof"}, "proc-scan"),
        ({"exe": "/usr/bin/pgrep"}, "proc-scan-session"),
    ],
)
def test_known_harmless_programs_of_root_are_excepted(fields: dict[str, Any], detection: str) -> None:
    detections = with_exceptions(shipped_detections(), known_harmless())

    def run(uid: int, active: Sequence[Detection]) -> list[str]:
        turns = [
            listings(
                1, pid=7 if detection == "proc-scan" else 100 + n, at_ms=100 * n, uid=uid, **OPENDIR, **fields
            )
            for n in range(40)
        ]
        return names(found(*map(in_session, turns), detections=active))

    assert run(0, shipped_detections()) == [detection]
    assert run(0, detections) == []
    assert run(1000, detections) == [detection]


RECORDINGS = sorted(
    path
    for path in (Path(__file__).parents[1] / "data").rglob("*")
    if path.suffix in {".capture", ".log"} and path.is_file()
)


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.name)
def test_elastics_rule_finds_the_same_in_recordings(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def replayed(*words: str) -> list[str]:
        assert main(["replay", "--format", "jsonl", *words, str(recording)]) == 0
        documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        alerts = [one for one in documents if one["auditsense"]["state"] == "alert"]
        return [json.dumps(one) for one in alerts if one["rule"]["id"] == "pspy"]

    assert replayed() == replayed("--only", "pspy")
