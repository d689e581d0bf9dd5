"""Documents: their fields, the fields they lack, and that no field is invented."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import auditsense
from auditsense import Detector, EventReader, Host, shipped_detections
from auditsense.detect.ecs import timestamp
from auditsense.testing import burst, open_event

if TYPE_CHECKING:
    from auditsense import Document

from auditsense.detect.host import this_host

PSPY = shipped_detections()[:1]
HOST = Host("0123456789abcdef0123456789abcdef", "here")


def event_of(text: bytes) -> Document:
    with EventReader(host=HOST) as detector:
        (event,) = detector.feed_text(text) + detector.finish()
        return event.document()


def log(*lines: str) -> bytes:
    """Return lines of one event, each without its "type=" and its stamp."""
    parts = [line.partition(" ") for line in lines]
    return "".join(f"type={kind} msg=audit(1.000:1): {text}\n" for kind, _, text in parts).encode()


def get(document: Document, name: str) -> Any:  # noqa: ANN401 - a document holds what it holds
    value: Any = document
    for part in name.split("."):
        value = value[part]
    return value


EVENT = {
    "@timestamp": "2026-11-24T04:05:14.674Z",
    "ecs": {"version": "9.4.0"},
    "event": {
        "kind": "event",
        "dataset": "auditd_manager.auditd",
        "module": "auditsense",
        "category": ["file"],
        "type": ["info"],
        "action": "opened-file",
        "outcome": "success",
    },
    "auditd": {
        "data": {
            "arch": "x86_64",
            "syscall": "openat",
            "a0": "ffffffffffffff9c",
            "a1": "c000012345",
            "a2": "80000",
            "a3": "0",
            "exit": "5",
        },
        "session": "unset",
    },
    "process": {
        "pid": 4352,
        "parent": {"pid": 4308},
        "name": "pspy64",
        "executable": "/usr/local/bin/pspy64",
        "title": "pspy64",
        "working_directory": "/",
    },
    "user": {
        "id": "65534",
        "audit": {"id": "unset"},
        "effective": {"id": "65534", "group": {"id": "65534"}},
        "saved": {"id": "65534"},
        "filesystem": {"id": "65534"},
        "group": {"id": "65534"},
        "selinux": {"user": "unconfined"},
    },
    "file": {"path": "/proc", "inode": "1", "device": "00:15", "mode": "040555", "uid": "0", "gid": "0"},
    "tags": ["audit_proc"],
    "host": {"id": HOST.id, "name": "here", "os": {"type": "linux"}},
    "auditsense": {"events": ["1795493114.674:3"], "state": "event"},
}


def test_event_document() -> None:
    assert event_of(open_event().text) == EVENT


def test_datagrams_and_log_lines_make_the_same_document() -> None:
    with EventReader(host=HOST) as detector:
        assert [event.document() for event in detector.feed(open_event().datagrams)] == [EVENT]


def test_alert_document() -> None:
    events = burst(10)
    with Detector(PSPY, host=HOST) as detector:
        (alert,) = detector.feed_text(b"".join(event.text for event in events))
    threat = alert.pop("threat")
    description = alert["rule"].pop("description")
    identity = alert["event"].pop("id")
    burst_id = alert["auditsense"].pop("burst")["id"]
    own = alert["auditsense"]
    advice = [own.pop("note"), own.pop("investigate"), own.pop("respond")]
    assert alert == {
        **EVENT,
        "@timestamp": "2026-11-24T04:05:15.574Z",
        "message": "low pspy: uid 65534 pspy64[4352], 10x /proc in 0.9 s, parent 4308",
        "container": {"id": "unknown"},
        "event": {
            "kind": "alert",
            "dataset": "auditsense.alert",
            "module": "auditsense",
            "category": ["process"],
            "type": ["info"],
            "action": "openat",
            "outcome": "success",
            "risk_score": 21,
            "severity": 21,
            "start": "2026-11-24T04:05:14.674Z",
            "end": "2026-11-24T04:05:15.574Z",
        },
        "rule": {
            "id": "pspy",
            "name": "Potential Pspy Process Monitoring Detected",
            "version": "2",
            "reference": "https://github.com/DominicBreuker/pspy",
        },
        "tags": [
            "audit_proc",
            "Domain: Endpoint",
            "OS: Linux",
            "Use Case: Threat Detection",
            "Tactic: Discovery",
        ],
        "auditsense": {
            "state": "alert",
            "severity": "low",
            "count": 10,
            "events": [event.id for event in events],
            "lost": 0,
            "rate": 10.0,
            "container": {"pid_namespace": "unknown", "procfs": "unknown"},
        },
    }
    assert threat == [
        {
            "framework": "MITRE ATT&CK",
            "tactic": {
                "id": "TA0007",
                "name": "Discovery",
                "reference": "https://attack.mitre.org/tactics/TA0007/",
            },
            "technique": [
                {
                    "id": "T1057",
                    "name": "Process Discovery",
                    "reference": "https://attack.mitre.org/techniques/T1057/",
                },
                {
                    "id": "T1082",
                    "name": "System Information Discovery",
                    "reference": "https://attack.mitre.org/techniques/T1082/",
                },
            ],
        }
    ]
    assert description.startswith("pspy lists what other users run")
    assert len(identity) == len(burst_id) == 32
    detection = shipped_detections()[0]
    assert advice == [detection.note, list(detection.investigate), list(detection.respond)]


PROMISED = [
    "@timestamp",
    "event.kind",
    "event.dataset",
    "rule.name",
    "rule.id",
    "host.id",
    "host.name",
    "process.pid",
    "process.name",
    "process.executable",
    "process.parent.pid",
    "user.id",
    "file.path",
    "threat",
    "auditsense.events",
    "auditsense.count",
    "auditsense.state",
    "auditsense.lost",
]


@pytest.mark.parametrize("sequences", [False, True])
def test_alerts_and_sequences_have_promised_fields(*, sequences: bool) -> None:
    with Detector(PSPY, host=HOST, sequences=sequences) as detector:
        documents = detector.feed_text(b"".join(event.text for event in burst(12))) + detector.finish()
    states = ["sequence"] * 3 if sequences else ["alert", "closed"]
    assert [get(document, "auditsense.state") for document in documents] == states
    for document in documents:
        assert all(
            get(document, name) not in (None, "", []) for name in PROMISED if name != "auditsense.lost"
        )
        closed = get(document, "auditsense.state") == "closed"
        assert get(document, "event.kind") == ("state" if closed else "alert")
        assert get(document, "event.dataset") == ("auditsense.burst" if closed else "auditsense.alert")
        assert json.loads(json.dumps(document)) == document


# --- values --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("ps py", "ps py"),
        ("pspy\x1b[2J", "pspy\x1b[2J"),
        ('say "hi"', 'say "hi"'),
        ("größe", "größe"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"a\nb", "a\nb"),
        ("(null)", "(null)"),
        ("ABCD", "ABCD"),
    ],
)
def test_names_are_decoded_and_other_bytes_escaped(given: str | bytes, expected: str) -> None:
    document = event_of(open_event(comm=given, exe=given, path=given, cwd=given, title=given).text)
    for name in ("name", "executable", "working_directory", "title"):
        assert document["process"][name] == expected
    assert document["file"]["path"] == expected


def test_title_separates_arguments_by_blanks() -> None:
    document = event_of(open_event(title=b"./pspy64\0-i\x00100\0").text)
    assert document["process"]["title"] == "./pspy64 -i 100 "


def test_several_keys_are_several_tags() -> None:
    assert event_of(open_event(key="one\x01two").text)["tags"] == ["one", "two"]
    assert event_of(open_event(key="audit proc").text)["tags"] == ["audit proc"]
    assert "tags" not in event_of(open_event(key=None).text)


def test_failed_call_has_outcome_failure() -> None:
    document = event_of(open_event(success=False).text)
    assert (document["event"]["outcome"], document["auditd"]["data"]["exit"]) == ("failure", "-13")


@pytest.mark.parametrize(
    ("arch", "number", "names"),
    [
        (0xC000003E, 257, ("x86_64", "openat")),
        (0xC000003E, 437, ("x86_64", "openat2")),
        (0xC000003E, 9999, ("x86_64", "9999")),
        (0x40000003, 295, ("i386", "openat")),
        (0x12345678, 257, ("12345678", "257")),
    ],
)
def test_unknown_call_or_architecture_keeps_its_number(
    arch: int, number: int, names: tuple[str, str]
) -> None:
    document = event_of(open_event(arch=arch, syscall=number).text)
    data = document["auditd"]["data"]
    assert (data["arch"], data["syscall"]) == names
    is_file = names[1] in {"openat", "openat2"}
    assert document["event"]["action"] == ("opened-file" if is_file else names[1])
    assert document["event"]["type"] == ["info"]
    assert document["event"]["category"] == ["file" if is_file else "process"]
    assert document["file"]["path"] == "/proc"


@pytest.mark.parametrize("number", ["9" * 5000, "18446744073709551616", "1_000", "0x10", "-", "abc", "²"])
def test_invalid_number_is_left_out(number: str) -> None:
    text = open_event().text.replace(b" pid=4352 ", f" pid={number} ".encode())
    assert event_of(text)["process"].get("pid") in (None, 18446744073709551616)


def test_absent_fields_are_left_out() -> None:
    document = event_of(b"type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall=257\n")
    assert document == {
        "@timestamp": "1970-01-01T00:00:01.000Z",
        "ecs": {"version": "9.4.0"},
        "event": {
            "kind": "event",
            "dataset": "auditd_manager.auditd",
            "module": "auditsense",
            "category": ["file"],
            "type": ["info"],
            "action": "opened-file",
            "outcome": "unknown",
        },
        "auditd": {"data": {"arch": "x86_64", "syscall": "openat"}},
        "host": {"id": HOST.id, "name": "here", "os": {"type": "linux"}},
        "auditsense": {"events": ["1.000:1"], "state": "event"},
    }


def test_event_without_fields_is_a_document() -> None:
    document = event_of(b"type=SYSCALL msg=audit(1.000:1): \n")
    assert sorted(document) == ["@timestamp", "auditsense", "ecs", "event", "host"]
    assert "action" not in document["event"]


def test_exec_has_all_its_arguments() -> None:
    document = event_of(
        log(
            'SYSCALL arch=c000003e syscall=59 success=yes items=0 pid=7 comm="sh"',
            'EXECVE argc=4 a0="sh" a1=2D63206C73',
            "BPRM_FCAPS fver=0 fp=0 fi=0 fe=0 pe=0000000000002001 pa=0",
            'EXECVE  a2="" a3="x"',
            "EOE",
        )
    )
    assert document["process"] == {
        "pid": 7,
        "name": "sh",
        "args": ["sh", "-c ls", "", "x"],
        "args_count": 4,
        "command_line": "sh -c ls  x",
        "thread": {"capabilities": {"effective": ["CAP_CHOWN", "CAP_NET_RAW"]}},
    }
    assert document["event"]["action"] == "executed"
    assert (document["event"]["category"], document["event"]["type"]) == (["process"], ["start"])
    assert "cut" not in document["auditsense"]


def test_missing_arguments_are_named() -> None:
    document = event_of(
        log(
            'SYSCALL arch=c000003e syscall=59 success=yes items=0 pid=7 comm="sh"',
            'EXECVE argc=2 a0="sh"',
            "EOE",
        )
    )
    assert document["process"]["args"] == ["sh"]
    assert document["auditsense"]["cut"] == ["process.args"]


@pytest.mark.parametrize(
    ("syscall", "direction", "end"), [(42, "egress", "destination"), (43, "ingress", "source")]
)
def test_address_is_that_of_the_other_end(syscall: int, direction: str, end: str) -> None:
    document = event_of(
        log(
            f"SYSCALL arch=c000003e syscall={syscall} success=yes items=0 pid=7",
            "SOCKADDR saddr=02002329C00002010000000000000000",
            "EOE",
        )
    )
    assert document["auditd"]["data"]["socket"] == {"family": "ipv4", "addr": "192.0.2.1", "port": "9001"}
    assert document["network"] == {"direction": direction}
    assert get(document, end) == {"ip": "192.0.2.1", "port": 9001, "address": "192.0.2.1"}
    assert len({"destination", "source"} & {*document}) == 1


def test_record_of_pam_is_an_event() -> None:
    document = event_of(
        log(
            "USER_AUTH pid=92 uid=0 auid=1000 ses=3 subj=unconfined msg='op=PAM:authentication "
            'grantors=pam_unix acct="root" exe="/usr/bin/su" hostname=? addr=? terminal=/dev/pts/0 '
            "res=failed'"
        )
    )
    assert document["event"] == {
        "kind": "event",
        "dataset": "auditd_manager.auditd",
        "module": "auditsense",
        "outcome": "failure",
        "action": "authenticated",
        "category": ["authentication"],
        "type": ["info"],
    }
    assert document["process"] == {"pid": 92, "name": "su", "executable": "/usr/bin/su"}
    assert document["auditd"] == {
        "data": {"acct": "root", "terminal": "/dev/pts/0", "grantors": "pam_unix"},
        "session": "3",
    }
    assert document["user"] == {
        "id": "1000",
        "audit": {"id": "1000"},
        "effective": {"name": "root"},
        "selinux": {"user": "unconfined"},
    }


def test_record_about_an_account_names_it() -> None:
    document = event_of(
        log(
            "ADD_USER pid=9 uid=0 auid=4294967295 ses=1 msg='op=adding user id=1001 "
            'exe="/usr/sbin/useradd" hostname=h addr=? terminal=pts/1 res=success\''
        )
    )
    assert document["user"] == {"audit": {"id": "unset"}, "target": {"name": "1001"}}
    assert (document["event"]["action"], document["event"]["outcome"]) == ("added-user-account", "success")


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ('apparmor="DENIED" operation="open" pid=7 comm="z"', "violated-apparmor-policy"),
        ('avc:  denied  { read } for  pid=7 comm="z" tclass=file', "violated-selinux-policy"),
    ],
)
def test_denial_has_the_words_of_its_call(text: str, action: str) -> None:
    alone = f"type=AVC msg=audit(1.000:1): {text}\n"
    call = "type=SYSCALL msg=audit(1.000:1): arch=c000003e syscall=257 success=no items=0 pid=7\n"
    end = "type=EOE msg=audit(1.000:1): \n"
    document = event_of((alone + call + end).encode())
    assert document["event"]["action"] == action
    assert (document["event"]["category"], document["event"]["type"]) == (["file"], ["info"])
    document = event_of(alone.encode())
    assert document["event"]["action"] == action
    assert document["process"] == {"pid": 7, "name": "z"}


def test_node_is_the_host() -> None:
    document = event_of(open_event(node="web1").text)
    assert document["host"] == {"id": "web1", "name": "web1", "os": {"type": "linux"}}


# --- time and host ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ms", "expected"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (1_795_493_114_674, "2026-11-24T04:05:14.674Z"),
        (2_147_483_648_000, "2038-01-19T03:14:08.000Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        (253_402_300_800_000, "9999-12-31T23:59:59.999Z"),
        (2**53 * 1000, "9999-12-31T23:59:59.999Z"),
        (2**64 - 1, "9999-12-31T23:59:59.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-(2**63), "0001-01-01T00:00:00.000Z"),
    ],
)
def test_timestamps_are_utc_with_milliseconds(ms: int, expected: str) -> None:
    assert timestamp(ms) == expected


def test_stamps_avoid_the_c_library() -> None:
    """Its time_t has 32 bits on some machines: from 2038 on it overflows there."""
    package = Path(auditsense.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
            assert name not in {
                "fromtimestamp",
                "utcfromtimestamp",
                "gmtime",
                "localtime",
                "mktime",
                "ctime",
            }, path


def test_latest_possible_stamp_makes_a_document() -> None:
    document = event_of(b"type=SYSCALL msg=audit(9007199254740992.999:4294967295): arch=1 syscall=1\n")
    assert document["@timestamp"] == "9999-12-31T23:59:59.999Z"
    assert document["auditsense"]["events"] == ["9007199254740992.999:4294967295"]


def test_this_host_uses_machine_id_or_name(tmp_path: Path) -> None:
    machine_id = tmp_path / "machine-id"
    assert this_host(machine_id).id == this_host(machine_id).name != ""
    machine_id.write_text("0123456789abcdef0123456789abcdef\n", encoding="ascii")
    assert this_host(machine_id).id == "0123456789abcdef0123456789abcdef"
    machine_id.write_text("", encoding="ascii")
    assert this_host(machine_id).id == this_host(machine_id).name
