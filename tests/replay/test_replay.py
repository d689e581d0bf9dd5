"""Replay: every kind of input is detected by its content, and an error is one line."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from auditsense import AlertPolicy, Detector, Host, InputError, UsageError, View
from auditsense.core.ring import pack
from auditsense.replay import capture
from auditsense.replay.decompress import DamagedInputError
from auditsense.replay.replay import replay
from auditsense.testing import burst, datagrams, open_event
from tests.support.faults import NO_HOST, Recorder
from tests.support.outputs import as_documents, reader_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from auditsense import Document, Stats

HERE = Host("0123456789abcdef0123456789abcdef", "here")
THERE = Host("fedcba9876543210fedcba9876543210", "there")
SCAN = burst(12)
TEXT = b"".join(event.text for event in SCAN)
SUMMARY = [("alert", 10), ("closed", 12)]


@dataclass
class Outcome:
    documents: list[Document] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    stats: Stats | None = None
    error: Exception | None = None

    @property
    def summary(self) -> list[tuple[str, int]]:
        return [
            (document["auditsense"]["state"], document["auditsense"].get("count", 1))
            for document in self.documents
        ]

    @property
    def hosts(self) -> list[str]:
        return [document["host"]["name"] for document in self.documents]


def run(names: Sequence[object], view: View = View.ALERTS, policy: AlertPolicy | None = None) -> Outcome:
    outcome = Outcome()
    with reader_of(view, host=HERE, policy=policy) as detector:
        try:
            for some in replay([str(name) for name in names], detector, outcome.warnings.append):
                outcome.documents += as_documents(some)
        except (InputError, DamagedInputError, UsageError) as error:
            outcome.error = error
        outcome.stats = detector.stats()
    return outcome


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)  # as the program zstd does


def captured(
    path: Path,
    events: Iterable[Any],
    host: Host = HERE,
    now_ms: int = 5,
    change: Callable[[bytes], bytes] = bytes,
) -> Path:
    with capture.create(path, host, 1_795_493_114_000) as file:
        file.write(pack([part for event in events for part in event.datagrams], now_ms))
    path.write_bytes(change(path.read_bytes()))
    return path


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


# --- kinds -----------------------------------------------------------------------------


def gzip_in_parts(data: bytes) -> bytes:
    return gzip.compress(data[:1000]) + gzip.compress(data[1000:])


def zstd_in_parts(data: bytes) -> bytes:
    return zstd(data[:1000]) + zstd(data[1000:])


PACKINGS = {
    "plain": bytes,
    "gz": gzip.compress,
    "zst": zstd,
    "gz in parts": gzip_in_parts,
    "zst in parts": zstd_in_parts,
    "padded gz": lambda data: gzip.compress(data) + bytes(512),
}


@pytest.mark.parametrize("packing", PACKINGS.values(), ids=PACKINGS)
def test_log_is_read_in_any_compression_and_name(tmp_path: Path, packing: Callable[[bytes], bytes]) -> None:
    outcome = run([written(tmp_path / "audit.log.3", packing(TEXT))])
    assert (outcome.error, outcome.summary, outcome.warnings) == (None, SUMMARY, [])
    assert outcome.hosts == ["here", "here"]


@pytest.mark.parametrize("packing", PACKINGS.values(), ids=PACKINGS)
def test_capture_is_read_in_any_compression_and_name(
    tmp_path: Path, packing: Callable[[bytes], bytes]
) -> None:
    outcome = run([captured(tmp_path / "x.log.gz", SCAN, THERE, change=packing)])
    assert (outcome.error, outcome.summary, outcome.warnings) == (None, SUMMARY, [])
    assert outcome.hosts == ["there", "there"]


@pytest.mark.parametrize("packing", PACKINGS.values(), ids=PACKINGS)
@pytest.mark.parametrize("first", [1, 3, 100])
def test_standard_input_format_is_detected_in_any_chunks(
    monkeypatch: pytest.MonkeyPatch, packing: Callable[[bytes], bytes], first: int
) -> None:
    data = packing(TEXT)
    read, write = os.pipe()

    def send() -> None:
        with os.fdopen(write, "wb", buffering=0) as pipe:
            pipe.write(data[:first])
            pipe.write(data[first:])

    with os.fdopen(read, "rb") as stdin:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stdin))
        sender = threading.Thread(target=send)
        sender.start()
        outcome = run(["-"])
        sender.join()
    assert (outcome.error, outcome.summary) == (None, SUMMARY)


@pytest.mark.parametrize("patience", [0, 1, 700, 1 << 20])
@pytest.mark.parametrize("chunk", [1, 61, 4096])
def test_chunk_size_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, patience: int
) -> None:
    log = tmp_path / "audit.log"
    log.write_bytes(b"".join(event.text for event in (*burst(12, pid=7), *burst(30, pid=8, serial=100))))
    wanted = run([log])
    monkeypatch.setattr("auditsense.replay.replay._CHUNK", chunk)
    monkeypatch.setattr("auditsense.replay.replay._DRAIN_BYTES", patience)
    outcome = run([log])
    assert outcome.documents == wanted.documents
    assert outcome.summary == [("alert", 10), ("alert", 10), ("closed", 12), ("closed", 30)]


def test_only_complete_file_delays_documents(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with Detector(host=HERE) as detector:
        seen = replay([str(fifo)], detector, pytest.fail)
        writer = threading.Thread(target=fifo.write_bytes, args=(TEXT,))
        writer.start()
        first = next(documents for documents in seen if documents)
        assert [document["auditsense"]["state"] for document in first] == ["alert"]
        writer.join()
        assert [document["auditsense"]["state"] for rest in seen for document in rest] == ["closed"]


def test_closed_standard_input_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert str(run(["-"]).error) == "standard input is closed"


def test_enriched_log_with_crlf_is_read(tmp_path: Path) -> None:
    enriched = "".join(
        line + ('\x1dARCH=x86_64 SYSCALL=openat UID="daemon"' if "SYSCALL" in line else "") + "\r\n"
        for event in SCAN
        for line in event.lines[:-1]
    )
    assert run([written(tmp_path / "log", enriched.encode())]).summary == SUMMARY


def test_missing_zstd_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "log.zst", zstd(TEXT))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    outcome = run([path])
    assert isinstance(outcome.error, UsageError)
    assert "pip install 'auditsense[zstd]'" in str(outcome.error)


# --- several inputs ------------------------------------------------------------------------


def test_rotated_log_is_one_stream_wherever_it_was_split(tmp_path: Path) -> None:
    lines = TEXT.splitlines(keepends=True)
    for cut in range(len(lines) + 1):
        parts = [b"".join(lines[:cut]), b"".join(lines[cut:])]
        names = [written(tmp_path / f"audit.log.{n}", part) for n, part in enumerate(parts) if part]
        outcome = run(names)
        assert (outcome.error, outcome.summary) == (None, SUMMARY)
        assert outcome.stats is not None
        assert (outcome.stats.events, outcome.stats.incomplete, outcome.stats.late) == (12, 0, 0)


def test_last_line_of_log_is_separate_from_next_log(tmp_path: Path) -> None:
    names = [written(tmp_path / "1", TEXT.rstrip(b"\n")), written(tmp_path / "2", TEXT)]
    outcome = run(names)
    assert outcome.warnings == [f"{names[0]}: the last line has no end; it was read as it stands"]
    assert outcome.stats is not None
    assert (outcome.stats.records, outcome.stats.malformed) == (2 * 4 * 12, 0)


def test_logs_and_captures_keep_their_hosts(tmp_path: Path) -> None:
    later = burst(12, ms=SCAN[0].ms + 60_000, serial=1000, pid=2)
    log = written(tmp_path / "log", b"".join(event.text for event in burst(12, pid=1)))
    again = written(tmp_path / "log2", b"".join(event.text for event in burst(12, pid=3, ms=later[0].ms + 9)))
    outcome = run([log, captured(tmp_path / "capture", later, THERE), again])
    assert outcome.summary == SUMMARY * 3
    assert outcome.hosts == ["here", "here", "there", "there", "here", "here"]


def test_same_pid_on_two_hosts_is_two_processes(tmp_path: Path) -> None:
    halves = [burst(5, serial=1), burst(5, ms=SCAN[5].ms, serial=100)]
    names = [
        captured(tmp_path / host.name, half, host) for host, half in zip((HERE, THERE), halves, strict=True)
    ]
    outcome = run(names)
    assert outcome.summary == []
    assert outcome.stats is not None
    # Each open counts for pspy and for proc-scan.
    assert (outcome.stats.matches, outcome.stats.datagrams, outcome.stats.live_keys) == (20, 50, 0)


def test_burst_continues_in_next_capture_of_same_host(tmp_path: Path) -> None:
    names = [captured(tmp_path / f"{n}", SCAN[n * 6 : n * 6 + 6], now_ms=100 - n) for n in range(2)]
    assert run(names).summary == SUMMARY


def test_open_events_are_decided_before_another_clock(tmp_path: Path) -> None:
    cut_short = b"".join(event.text for event in SCAN[:9]) + SCAN[9].text.rpartition(b"type=PROCTITLE")[0]
    outcome = run([written(tmp_path / "log", cut_short), captured(tmp_path / "capture", [], THERE)])
    assert outcome.summary == [("alert", 10)]
    assert outcome.hosts == ["here"]


@pytest.mark.parametrize("second", ["missing", "damaged"])
def test_documents_before_bad_input_are_returned(tmp_path: Path, second: str) -> None:
    damaged = written(tmp_path / "damaged", gzip.compress(TEXT)[:50])
    outcome = run([written(tmp_path / "log", TEXT), damaged if second == "damaged" else tmp_path / second])
    assert outcome.error is not None
    assert outcome.summary == SUMMARY


# --- what is no input ------------------------------------------------------------------------


def test_missing_file_is_named(tmp_path: Path) -> None:
    outcome = run([tmp_path / "none"])
    assert isinstance(outcome.error, InputError)
    assert str(outcome.error) == f"{tmp_path}/none: No such file or directory"


def test_missing_log_of_auditd_has_a_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("auditsense.replay.replay._AUDITD_LOGS", str(tmp_path))
    error = str(run([tmp_path / "none"]).error)
    assert error.startswith(f"{tmp_path}/none: No such file or directory; auditd is not installed here, or ")


def test_directory_is_refused(tmp_path: Path) -> None:
    assert str(run([tmp_path]).error) == f"{tmp_path}: Is a directory"


def test_unreadable_file_is_named() -> None:
    assert str(run(["/proc/self/mem"]).error) == "/proc/self/mem: Input/output error"


@pytest.mark.parametrize("data", [b"", gzip.compress(b""), zstd(b"")], ids=["plain", "gzip", "zstd"])
def test_empty_file_is_reported(tmp_path: Path, data: bytes) -> None:
    path = written(tmp_path / "log", data)
    outcome = run([path])
    assert isinstance(outcome.error, InputError)
    assert str(outcome.error) == f"{path} is empty: no audit record in it"


@pytest.mark.parametrize(
    ("data", "begins"),
    [
        (b"\n", ""),
        (b"\nNov 24 03:45:14 here sshd[1]: hello\n", "; it begins: Nov 24 03:45:14 here sshd[1]: hello"),
        (b"\xff\xfdx\n", r"; it begins: \xff\xfdx"),
        (b"x" * 101, f"; it begins: {'x' * 100}…"),
    ],
)
def test_other_file_format_is_reported(tmp_path: Path, data: bytes, begins: str) -> None:
    path = written(tmp_path / "log", data)
    outcome = run([path])
    assert isinstance(outcome.error, InputError)
    assert str(outcome.error) == f"{path} is no audit log and no capture: no audit record in it{begins}"


@given(data=st.binary(max_size=300))
def test_any_bytes_give_documents_or_an_error(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    for start in (b"", b"\x1f\x8b", b"\x28\xb5\x2f\xfd", capture.MAGIC, gzip.compress(capture.MAGIC)[:-9]):
        outcome = run([written(path, start + data)])
        assert outcome.error is None or str(path) in str(outcome.error)
        assert "\n" not in str(outcome.error)


# --- truncated and damaged ---------------------------------------------------------------------


@pytest.mark.parametrize("newline", [b"", b"\n"])
def test_log_cut_inside_record_is_read_to_its_end(tmp_path: Path, newline: bytes) -> None:
    cut = TEXT.rindex(b"type=PATH")
    outcome = run([written(tmp_path / "log", TEXT[: cut + 30] + newline)])
    assert outcome.error is None
    assert outcome.summary == [("alert", 10), ("closed", 11)]
    reason = "(a record whose stamp cannot be read)"
    no_end = [f"{tmp_path}/log: the last line has no end; it was read as it stands"]
    assert outcome.warnings == [
        *([] if newline else no_end),
        f"{tmp_path}/log: 1 of 47 lines is no audit record; the first: {TEXT[cut:][:30].decode()} {reason}",
    ]
    assert outcome.stats is not None
    assert (outcome.stats.events, outcome.stats.incomplete) == (12, 1)


@pytest.mark.parametrize("packing", [gzip.compress, zstd], ids=["gz", "zst"])
def test_truncated_compressed_data_is_used_and_reported(
    tmp_path: Path, packing: Callable[[bytes], bytes]
) -> None:
    # Text that does not compress well, so that a part of the file is a part of the text.
    noise = b"".join(f"{os.urandom(60).hex()}\n".encode() for _ in range(9999))
    data = packing(TEXT + noise)
    path = written(tmp_path / "log", data[: len(data) * 9 // 10])
    outcome = run([path])
    assert isinstance(outcome.error, DamagedInputError)
    assert str(outcome.error) == f"{path}: the compressed data ends in the middle"
    assert outcome.summary == SUMMARY


@pytest.mark.parametrize("packing", [gzip.compress, zstd], ids=["gz", "zst"])
@pytest.mark.parametrize("where", ["middle", "after the end"])
def test_damaged_compressed_data_is_reported(
    tmp_path: Path, packing: Callable[[bytes], bytes], where: str, fault: Recorder
) -> None:
    data = bytearray(packing(TEXT))
    if where == "middle":
        data[len(data) // 2 : len(data) // 2 + 8] = b"\xff" * 8
    else:
        data += b"rubbish"
    path = written(tmp_path / "log", bytes(data))
    outcome = run([path])
    assert isinstance(outcome.error, DamagedInputError)
    assert str(outcome.error).startswith(f"{path}: the compressed data is damaged: ")
    fault(
        "a compressed log is damaged",
        how="eight bytes overwritten in the middle, or garbage after its end; gz and zst",
        did="read what could be read, ended with an error",
        lost="what follows the damage",
        reported="which file, and what is wrong with it",
        host=NO_HOST,
    )


def test_capture_cut_inside_datagram_is_read_to_its_end(tmp_path: Path) -> None:
    whole = captured(tmp_path / "whole", SCAN).read_bytes()
    path = written(tmp_path / "cut", whole[:-10])
    outcome = run([path])
    left = 16 + len(SCAN[-1].datagrams[-1]) - 10
    assert outcome.warnings == [f"{path}: ends in the middle of a datagram; {left} bytes were ignored"]
    assert (outcome.error, outcome.summary) == (None, SUMMARY)


def test_capture_with_impossible_length_is_reported(tmp_path: Path) -> None:
    path = captured(tmp_path / "x", SCAN, change=lambda data: data + b"\xff" * (3 << 20))
    outcome = run([path])
    assert isinstance(outcome.error, DamagedInputError)
    assert str(outcome.error).startswith(f"{path}: this capture is damaged: no datagram is ")
    assert outcome.summary == SUMMARY


def test_capture_of_other_byte_order_is_refused(tmp_path: Path) -> None:
    other = {"little": "big", "big": "little"}[sys.byteorder]
    path = captured(
        tmp_path / "x", SCAN, change=lambda data: data.replace(sys.byteorder.encode(), other.encode(), 1)
    )
    outcome = run([path])
    assert isinstance(outcome.error, InputError)
    assert str(outcome.error) == f"{path}: captured on a {other}-endian machine; replay it on one"


HEADER = {"host": {"id": "x", "name": "y"}, "byteorder": sys.byteorder, "started": 1}


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\n",
        b"{\n",
        b"[]\n",
        b"7\n",
        b"\xff\xfe\n",
        json.dumps({**HEADER, "host": "x"}).encode() + b"\n",
        json.dumps({**HEADER, "host": {"id": "x"}}).encode() + b"\n",
        json.dumps({**HEADER, "started": "soon"}).encode() + b"\n",
        json.dumps({**HEADER, "started": None}).encode() + b"\n",
        json.dumps({**HEADER, "started": float("inf")}).encode() + b"\n",
        b"x" * 100_000,
        b'{"host": "' + b"[" * 100_000 + b"\n",
        b"[" * 60_000 + b"\n",
    ],
)
@pytest.mark.parametrize("packing", [bytes, gzip.compress], ids=["plain", "gz"])
def test_capture_with_damaged_header_is_reported(
    tmp_path: Path, header: bytes, packing: Callable[[bytes], bytes]
) -> None:
    path = written(tmp_path / "x", packing(capture.MAGIC + header))
    outcome = run([path])
    assert isinstance(outcome.error, InputError)
    assert str(outcome.error) == f"{path}: the header of this capture is damaged"


def test_compressed_capture_cut_in_header_is_reported(tmp_path: Path) -> None:
    padding = os.urandom(3000).hex()
    header = json.dumps({**HEADER, "padding": padding}).encode() + b"\n"
    data = gzip.compress(capture.MAGIC + header)
    path = written(tmp_path / "x", data[: len(data) // 2])
    outcome = run([path])
    assert isinstance(outcome.error, DamagedInputError)
    assert str(outcome.error) == f"{path}: the compressed data ends in the middle"


# --- captures ------------------------------------------------------------------------------------


def test_capture_is_private_and_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "x"
    capture.create(path, THERE, 7).close()
    assert path.stat().st_mode & 0o777 == 0o600
    with path.open("rb") as file:
        assert file.readline() == capture.MAGIC
        assert capture.read_header("x", file) == capture.CaptureHeader(THERE, 7)
    with pytest.raises(InputError, match="exists already; choose another name"):
        capture.create(path, THERE, 7)
    with pytest.raises(InputError, match="No such file or directory"):
        capture.create(tmp_path / "none" / "x", THERE, 7)


def test_capture_follows_no_symlink(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(InputError):
        capture.create(tmp_path / "link", THERE, 7)
    assert not (tmp_path / "target").exists()


def test_time_in_capture_comes_from_its_datagrams(tmp_path: Path) -> None:
    path = tmp_path / "x"
    call, _, _, title, end = open_event().datagrams
    with capture.create(path, HERE, 7) as file:
        file.write(
            pack([call, title], 1000)
            + pack(datagrams("type=CWD msg=audit(1.000:9): "), 3000)
            + pack([end], 3001)
        )
    outcome = run([path], View.EVENTS)
    assert outcome.stats is not None
    assert len(outcome.documents) == 1
    assert (outcome.stats.late, outcome.stats.incomplete) == (1, 2)
