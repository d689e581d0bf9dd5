"""Sinks: one unambiguous line per document, or one clear error."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense import AuditSenseError, EventReader, Host, View
from auditsense.cli import run
from auditsense.cli.output import RunOutput
from auditsense.cli.parser import build_parser
from auditsense.detect.ecs import loss_document, narrow_lost, self_test_document, tamper_document
from auditsense.detect.losses import Losses, LossReport
from auditsense.sinks import SinkError
from auditsense.sinks.fanout import SinkSet
from auditsense.sinks.format import Format, compact, jsonl, line_of, printable
from auditsense.sinks.stream import StreamSink
from auditsense.sinks.subprocess_sink import SinkProcess
from auditsense.testing import burst, open_event
from tests.support.outputs import as_documents, fake_document, reader_of

if TYPE_CHECKING:
    from auditsense import Document

HOST = Host("0123456789abcdef0123456789abcdef", "here")
NASTY = [
    "plain",
    "ps py",
    "\x1b[2J\x1b]0;title\x07",
    "two\nlines",
    "\r",
    "\x00",
    "\x9b31m",
    "\u202eevil",
    "\u2028",
    "größe",
    "\U0001f600",
    b"\xff\x1b\n",
    '"}',
]


def documents(comm: str | bytes, view: View = View.ALERTS) -> list[Document]:
    """Return the alert and the closing document of a burst by a process of this name."""
    with reader_of(view, host=HOST) as detector:
        events = [
            open_event(ms=event.ms, serial=event.serial, comm=comm, exe=comm, key=comm) for event in burst(12)
        ]
        return as_documents(detector.feed_text(b"".join(event.text for event in events)) + detector.finish())


@pytest.mark.parametrize("comm", NASTY)
@pytest.mark.parametrize("view", list(View))
def test_jsonl_is_one_line_of_ascii_that_reads_back(comm: str | bytes, view: View) -> None:
    for document in documents(comm, view):
        line = jsonl(document)
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line) == document


@pytest.mark.parametrize("comm", NASTY)
@pytest.mark.parametrize("view", list(View))
def test_compact_line_has_no_terminal_control(comm: str | bytes, view: View) -> None:
    for document in documents(comm, view):
        line = compact(document)
        assert line.isprintable()
        assert "[4352]" in line


def test_compact_lines_have_main_fields() -> None:
    alert, closed = documents("ps py")
    assert compact(alert) == (
        '2026-11-24 04:05:15.574 low pspy: uid 65534 "ps py"[4352] "ps py", '
        "10x /proc in 0.9 s, pspy64, parent 4308"
    )
    assert compact(closed) == (
        '2026-11-24 04:05:15.774 low pspy closed: uid 65534 "ps py"[4352] "ps py", '
        "12x /proc in all, pspy64, parent 4308"
    )
    assert compact(documents("ps py", View.EVENTS)[0]) == (
        '2026-11-24 04:05:14.674 event openat /proc success: uid 65534 "ps py"[4352] "ps py", parent 4308'
    )


def test_compact_line_of_replay_has_losses_so_far() -> None:
    (alert, _) = documents("x")
    assert "lost" not in compact(alert)
    alert["auditsense"]["lost"] = 7
    assert " in 0.9 s, 7 lost so far, " in compact(alert)


@pytest.mark.parametrize(
    ("lost", "before", "part"),
    [
        (7, 2, " in 0.9 s, 7 lost, "),
        (0, 9, " in 0.9 s, pspy64"),  # earlier losses have a separate document
        (0, 0, " in 0.9 s, pspy64"),
    ],
)
def test_compact_line_has_losses_of_window(lost: int, before: int, part: str) -> None:
    (alert, _) = documents("x")
    alert["auditsense"]["lost"] = lost + before
    narrow_lost(alert, lost)
    assert part in compact(alert)


NOW_MS = 1_795_507_200_000
GAP = LossReport(NOW_MS - 2500, NOW_MS, Losses(kernel_lost=12, incomplete=1), known=13, events=4, records=13)
NOTICES = [
    (
        loss_document(GAP, HOST, lost_total=20),
        ("medium Audit Records Were Lost: lost within 2.5 s: about 4 events (kernel lost 12, incomplete 1)"),
    ),
    (
        tamper_document(
            HOST,
            ms=NOW_MS,
            rule_id="auditsense.tamper.disabled",
            name="Audit Was Switched Off",
            severity="critical",
            message="enabled is 0",
            repaired="repaired: set enabled: 0 -> 1",
        ),
        "critical Audit Was Switched Off: enabled is 0; repaired: set enabled: 0 -> 1",
    ),
    (
        self_test_document(HOST, ms=NOW_MS, message="no record\x1b came\n"),
        "high The Sensor Does Not See Its Own Test: no record\\x1b came\\n",
    ),
]


@pytest.mark.parametrize(("document", "line"), NOTICES)
def test_compact_line_of_notice(document: Document, line: str) -> None:
    assert compact(document) == f"2026-11-24 08:00:00.000 {line}"


def test_compact_line_of_empty_alert() -> None:
    (alert, _) = documents("x")
    del alert["process"], alert["user"], alert["file"]
    alert["auditsense"]["events"] = []
    assert compact(alert).endswith(" low pspy: uid ? ?[?], 10x openat in all")
    assert compact(fake_document()) == "? ? ? ?: uid ? ?[?], ?x ? in all"


def test_compact_line_of_event_without_fields() -> None:
    with EventReader(host=HOST) as detector:
        (event,) = detector.feed_text(b"type=SYSCALL msg=audit(1.000:1): \n") + detector.finish()
    assert compact(event.document()).startswith("1970-01-01 00:00:01.000 event")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a b", "a b"),
        ("é", "é"),
        ("\x1b[0m", "\\x1b[0m"),
        ("a\nb", "a\\nb"),
        ("\u202e", "\\u202e"),
        ("\\n", "\\n"),
        ("a\u3164b", "a\\u3164b"),
        ("\u2800", "\\u2800"),
        ("\U000e0041", "\\U000e0041"),
        ("\udcff", "\\udcff"),
    ],
)
def test_only_control_characters_are_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


# --- streams -------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "line"), [(Format.JSONL, jsonl), (Format.COMPACT, compact)])
def test_stream_gets_one_line_per_document_unbuffered(form: Format, line: object) -> None:
    read, write = os.pipe()
    expected = documents("x")
    with os.fdopen(read, encoding="utf-8") as reader, os.fdopen(write, "w", encoding="utf-8") as stream:
        StreamSink(stream, form).write(expected)
        assert callable(line)
        assert [reader.readline() for _ in expected] == [line(document) + "\n" for document in expected]


def test_empty_write_writes_nothing() -> None:
    closed = io.StringIO()
    closed.close()
    StreamSink(closed, Format.JSONL).write([])


def test_stream_stays_open() -> None:
    stream = io.StringIO()
    sink = StreamSink(stream, Format.JSONL)
    sink.write([fake_document(a=1)])
    sink.close()
    sink.close()
    assert stream.getvalue() == '{"a":1}\n'


def test_gone_reader_is_one_line_error() -> None:
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w", encoding="utf-8")
    with pytest.raises(SinkError, match=r"^standard output was closed by its reader$"):
        StreamSink(stream, Format.JSONL).write([fake_document(a=1)])
    stream.close()  # nothing is buffered that could fail again


def test_full_disk_error_names_stream() -> None:
    stream = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115 - see its last line
    with pytest.raises(SinkError, match=r"^cannot write to alerts: No space left on device$"):
        StreamSink(stream, Format.JSONL, "alerts").write([fake_document(a=1)])
    stream.close()


MORE_THAN_A_PIPE = [fake_document(n=n) for n in range(50_000)]


def read_later(descriptor: int, read_bytes: list[bytes]) -> threading.Thread:
    """Start to read after the writer has blocked for a while."""

    def read() -> None:
        time.sleep(0.3)
        with os.fdopen(descriptor, "rb") as file:
            read_bytes.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    return thread


@pytest.mark.parametrize("unbuffered", [False, True])
def test_interrupted_write_resumes(*, unbuffered: bool) -> None:
    read, write = os.pipe()
    read_bytes: list[bytes] = []
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    reader = read_later(read, read_bytes)
    raw = io.FileIO(write, "w")
    # PYTHONUNBUFFERED makes standard output unbuffered.
    stream = io.TextIOWrapper(raw if unbuffered else io.BufferedWriter(raw), write_through=unbuffered)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
        with stream:
            StreamSink(stream).write(MORE_THAN_A_PIPE)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        reader.join()
    assert [json.loads(line) for line in read_bytes[0].splitlines()] == MORE_THAN_A_PIPE


def test_non_blocking_descriptor_is_awaited() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    read_bytes: list[bytes] = []
    reader = read_later(read, read_bytes)
    with os.fdopen(write, "w", encoding="utf-8") as stream:
        StreamSink(stream).write(MORE_THAN_A_PIPE)
    reader.join()
    assert [json.loads(line) for line in read_bytes[0].splitlines()] == MORE_THAN_A_PIPE


def test_earlier_output_stays_first(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with path.open("w", encoding="utf-8") as stream:
        stream.write("before\n")
        StreamSink(stream).write_line("after")
        assert path.read_text(encoding="utf-8") == "before\nafter\n"


def test_closed_stream_is_an_error() -> None:
    sink = StreamSink(None, Format.JSONL)
    sink.write([])
    with pytest.raises(SinkError, match=r"^standard output is closed$"):
        sink.write([fake_document(a=1)])
    assert issubclass(SinkError, AuditSenseError)
    assert SinkError.exit_code == 1


# --- output of `run` --------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("form", list(Format))
@pytest.mark.parametrize("shown", [False, True])
def test_run_prints_notices_to_standard_error_too(
    form: Format, capfd: pytest.CaptureFixture[str], *, shown: bool
) -> None:
    written = [*documents("x"), *(document for document, _ in NOTICES)]
    with os.fdopen(os.dup(1), "w") as stream:
        process = SinkProcess(StreamSink(stream, form), "stdout")
        process.start()
        output = RunOutput(SinkSet([process], HOST), shown=shown, named=False, files=False)
        output.write(written)
        output.close()
    out, err = capfd.readouterr()
    assert out.splitlines() == [line_of(form)(document) for document in written]
    assert output.summary() == ""
    starts = [
        "auditsense: Audit Records Were Lost (medium): lost within 2.5 s: ",
        "auditsense: Audit Was Switched Off (critical): enabled is 0; ",
        "auditsense: The Sensor Does Not See Its Own Test (high): no record",
    ]
    lines = err.splitlines()
    assert len(lines) == (0 if shown else len(starts))
    assert all(text.startswith(start) for text, start in zip(lines, starts, strict=False))


@pytest.mark.parametrize(
    ("options", "out", "err", "shown"),
    [
        ([], Terminal(), Terminal(), True),
        (["--format", "compact"], Terminal(), Terminal(), True),
        (["--format", "jsonl"], Terminal(), Terminal(), False),
        ([], io.StringIO(), Terminal(), False),
        (["--format", "compact"], io.StringIO(), Terminal(), False),
        (["--format", "compact"], Terminal(), io.StringIO(), False),
        (["--format", "compact"], None, Terminal(), False),
        (["--format", "compact"], Terminal(), None, False),
    ],
)
def test_terminal_shows_notice_once(
    options: list[str],
    out: io.StringIO | None,
    err: io.StringIO | None,
    monkeypatch: pytest.MonkeyPatch,
    *,
    shown: bool,
) -> None:
    arguments = build_parser().parse_args(["run", *options])
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    result = run._shown(arguments.format)
    monkeypatch.undo()
    assert result is shown
