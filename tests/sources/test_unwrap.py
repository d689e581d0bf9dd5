"""Audit records behind headers, and inside JSON, CSV, quotes and colours: read, or refused."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import re
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from auditsense.detect.host import this_host
from auditsense.sources.unrecognized import describe_line
from auditsense.sources.unwrap import unwrapper_for
from tests.sources.test_text_forms import (
    EVENTS,
    LINES,
    TEXT,
    each,
    journal,
    objects,
    printk,
    replayed,
    written,
)
from tests.support.faults import NO_HOST, Recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


DATE = "Nov 24 16:00:00"
QUOTED = re.compile(r'(?<= )(?!msg=)(\w+)=([^" ]+)')


def headed(header: str) -> bytes:
    """Return the log with a header before each line."""
    return each(lambda line: header + line)


def enveloped(wrap: Callable[[dict[str, object]], object]) -> bytes:
    """Return the log as objects with a message, each inside another object."""
    return objects(lambda line: wrap({"message": line}))


def pretty(entries: list[object], indent: str | int = 1) -> bytes:
    """Return objects over several lines each, one behind the other."""
    return "".join(f"{json.dumps(entry, indent=indent)}\n" for entry in entries).encode()


def csv_text(line: str) -> str:
    """Return a field of a CSV."""
    return '"' + line.replace('"', '""') + '"'


READ = {
    "no tag": headed(f"{DATE} hostA "),
    "no tag, with a node": headed(f"{DATE} 10.1.2.3 node={this_host().name} "),
    "no colon": headed(f"{DATE} hostA auditd[12] "),
    "header without version": headed("2026-11-24T16:00:00Z hostA audispd - - - "),
    "no program": headed("<13>1 2026-11-24T16:00:00Z hostA - - - - "),
    "relay": headed(f"{DATE} relay <13>{DATE} hostA audispd: "),
    "zone": headed("Tue Nov 24 16:00:00 CEST 2026 hostA audispd: "),
    "month of another language": headed("okt. 24 16:00:00 hostA audispd: "),
    "kubectl": headed("[pod/auditd-x7/auditd] "),
    "docker compose": headed("auditd-1  | "),
    "grep of standard input": headed("(standard input):12:"),
    "grep of an odd name": headed("/srv/it's a=b.log:12:"),
    "tabs": each(lambda line: line.replace(" ", "\t")),
    "wide blanks": each(lambda line: line.replace(" ", "  ")),
    "lower-case names": each(lambda line: re.sub(r"^type=\w+", lambda name: name[0].lower(), line)),
    "everything quoted": each(lambda line: QUOTED.sub(r'\1="\2"', line)),
    "ausearch": each(lambda line: f"----\ntime->Tue Nov 24 16:00:00 2026\n{line}"),
    "tail of files": b"==> /var/log/audit/audit.log <==\n" + TEXT.encode(),
    "colours of grep": headed("\x1b[35m\x1b[Kaudit.log\x1b[m\x1b[K\x1b[36m\x1b[K:\x1b[m\x1b[K"),
    "colours inside": each(lambda line: line.replace("/proc", "\x1b[01;31m\x1b[K/proc\x1b[m\x1b[K")),
    "colours of dmesg": each(lambda line: f"\x1b[32m[ 4.0] \x1b[0m\x1b[33maudit: \x1b[0m{printk(line)[7:]}"),
    "quotes": each(lambda line: f'"{line}"'),
    "quotes of CSV": each(csv_text),
    "strings of JSON": each(json.dumps),
    "CSV of Splunk": b'"_raw","_time"\n' + each(lambda line: f'{csv_text(line)},"x"'),
    "CSV with a message": b"time,message\n" + each(lambda line: f"x,{csv_text(line)}"),
    "array": json.dumps([{"message": line} for line in LINES]).encode(),
    "array of lines": b"[\n" + b",\n".join(objects(lambda line: {"log": line}).splitlines()) + b"\n]\n",
    "array over lines": pretty([[{"message": line} for line in LINES]]),
    "objects over lines": pretty([{"message": line} for line in LINES]),
    "json-pretty": pretty([journal(line) for line in LINES], "\t"),
    "dmesg -J": pretty([{"dmesg": [{"pri": 13, "msg": printk(line)} for line in LINES]}], 3),
    "JSON behind a line": b"some header\n" + objects(lambda line: {"message": line}),
    "JSON in JSON": objects(lambda line: {"log": json.dumps({"message": line})}),
    "Fluentd": each(lambda line: f"2026-11-24T16:00:00Z\taudit\t{json.dumps({'message': line})}"),
    "Fluentd for people": each(lambda line: f"2026-11-24 16:00:00 +0000 audit: {json.dumps({'log': line})}"),
    "_source": enveloped(lambda inner: {"_index": "x", "_source": {"@timestamp": "x", **inner}}),
    "fields": objects(lambda line: {"fields": {"message": [line]}}),
    "result": objects(lambda line: {"preview": False, "result": {"_raw": line}}),
    "event": objects(lambda line: {"time": 1, "event": line}),
    "GELF": objects(lambda line: {"host": this_host().name, "short_message": line}),
    "attributes": enveloped(lambda inner: {"attributes": inner}),
    "events": json.dumps({"events": [{"message": line} for line in LINES]}).encode(),
    "textPayload": objects(lambda line: {"textPayload": line}),
    "SyslogMessage": objects(lambda line: {"SyslogMessage": line, "ProcessName": "audispd"}),
    "body": objects(lambda line: {"body": {"stringValue": line}}),
    "values": objects(lambda line: {"stream": {}, "values": [["1", line]]}),
    "rawmsg": objects(lambda line: {"rawmsg": f"<13>{line}", "programname": "audispd"}),
    "program with a PID": objects(lambda line: {"message": line, "ident": "auditd[1]"}),
    "program not given": objects(lambda line: {"message": line, "program": "-"}),
    "gzip in gzip": gzip.compress(gzip.compress(TEXT.encode())),
    "gzip in xz": lzma.compress(gzip.compress(TEXT.encode())),
}


@pytest.mark.parametrize("data", READ.values(), ids=READ)
def test_wrapped_record_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes) -> None:
    counts, messages = replayed(capsys, written(tmp_path / "some file", data))
    assert (counts["alerts"], counts["matches"], counts["records"]) == (1, EVENTS, len(LINES))
    assert counts["incomplete"] == 0
    assert all(
        "reading audit records" in line or "no end" in line or "some header" in line for line in messages
    )


FORGED = {
    "program in JSON": objects(lambda line: {"message": line, "program": "bob"}),
    "odd program in JSON": objects(lambda line: {"message": line, "ident": "audit: x"}),
    "PROGRAM of syslog-ng": objects(lambda line: {"MESSAGE": line, "PROGRAM": "bob"}),
    "JSON behind a header": each(lambda line: f"{DATE} a bob: {json.dumps({'message': line})}"),
    "journal behind a header": each(lambda line: f"{DATE} a bob: {json.dumps({'MESSAGE': line})}"),
    "go-audit behind a header": each(
        lambda line: (
            f"{DATE} a bob: "
            + json.dumps(
                {
                    "timestamp": "1.000",
                    "sequence": 1,
                    "messages": [{"type": 1300, "data": line.split(" ", 2)[2]}],
                }
            )
        )
    ),
    "command line in JSON": objects(lambda line: {"message": "x", "process": {"title": line}}),
    "comma in a message": each(lambda line: f"{DATE} a bob: x,{csv_text(line)}"),
    "comma in CSV": b"time,message\n" + each(lambda line: f'x,"hello, {line[:9]}",{csv_text(line)}'),
    "path as a program": headed("/usr/lib/bob: "),
    "tag without colon": headed(f"{DATE} hostA bob "),
    "relay": headed(f"{DATE} relay {DATE} hostA bob: "),
}


@pytest.mark.parametrize("data", FORGED.values(), ids=FORGED)
def test_wrapped_forgery_is_not_read(tmp_path: Path, capsys: pytest.CaptureFixture[str], data: bytes) -> None:
    counts, messages = replayed(capsys, written(tmp_path / "x", data + LINES[0].encode() + b"\n"))
    assert (counts["matches"], counts["records"]) == (0, 1)
    assert f"{len(LINES)} of" in messages[-2]


@pytest.mark.parametrize("chunk", [1, 61, 4096])
@pytest.mark.parametrize("name", ["json-pretty", "array of lines", "CSV of Splunk", "colours inside"])
def test_wrapped_input_may_be_split_anywhere(name: str, chunk: int) -> None:
    data = READ[name]
    unwrapper = unwrapper_for(data, this_host(), lambda _: None)
    assert unwrapper is not None
    pieces = [unwrapper.feed(data[at : at + chunk]) for at in range(0, len(data), chunk)]
    lines = b"".join([*pieces, unwrapper.finish()]).splitlines()
    assert len([line for line in lines if line.startswith(b"type=")]) == len(LINES)


def test_lone_brace_hides_no_record() -> None:
    unwrapper = unwrapper_for(b'{"a": 1}\n', this_host(), lambda _: None)
    assert unwrapper is not None
    line = LINES[0].encode() + b"\n"
    assert unwrapper.feed(b"{\nx\n" + line).endswith(line)
    assert unwrapper.feed(b"{\nx\n") == b""
    assert unwrapper.finish() == b"{\nx\n"


def test_fifo_without_writer_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, fault: Recorder
) -> None:
    monkeypatch.setattr("auditsense.replay.replay._SILENCE_MS", 0)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    heard = threading.Event()

    def record(line: str) -> None:
        sys.stderr.write(f"{line}\n")
        heard.set()

    def write() -> None:
        heard.wait()
        fifo.write_text(TEXT)

    monkeypatch.setattr("auditsense.cli.replay.print_message", record)
    writer = threading.Thread(target=write)
    writer.start()
    counts, lines = replayed(capsys, fifo)
    writer.join()
    assert (counts["alerts"], lines) == (1, [f"{fifo} is a FIFO without data so far; waiting"])
    fault(
        "a log is a FIFO that no program writes to",
        how="replay of a FIFO without a writer",
        did="waited, and read it when a program wrote",
        lost="nothing",
        reported="that nothing was written yet, after a second",
        host=NO_HOST,
    )


@pytest.mark.parametrize(
    ("what", "line"),
    [
        (
            "output of ausearch -i",
            b"Nov 24 16:00:00 a audispd: type=CWD msg=audit(11/24/2026 16:00:00.0:5) : x",
        ),
        (
            "stamp cannot be read",
            b"Nov 24 16:00:00 a audispd: node=a type=CWD msg=audit(99999999999999999.0:5): ",
        ),
        ("stamp cannot be read", b"type=CWD msg=audit(17950"),
        ("any user can write", b"Nov 24 16:00:00 a bob: type=CWD msg=audit(1795493114.674:3): cwd=/"),
        ("journalctl -o verbose", b"Tue 2026-11-24 16:00:00.000000 UTC [s=1;i=2]"),
        ("journal output without stamp", b"SYSCALL arch=c000003e syscall=257"),
        ("audit rules", b"-a always,exit -F arch=b64 -S openat -F key=x"),
        ("audit rules", b"-w /etc/shadow -p wa"),
        ("Fluent Bit", b"[0] tail.0: [[1764000000.1, {}], {}]"),
    ],
)
def test_unreadable_line_is_named(what: str, line: bytes) -> None:
    assert what in describe_line(line)
