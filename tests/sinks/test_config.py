"""Settings of sinks: a word of the command line, or a table of plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from auditsense.errors import UsageError
from auditsense.sinks.config import (
    FileSettings,
    JournaldSettings,
    SinkSettings,
    SpoolSettings,
    StdoutSettings,
    SyslogSettings,
    parse_sink,
    sink_settings,
)
from auditsense.sinks.format import Format

CASES: list[tuple[str, dict[str, Any], SinkSettings]] = [
    ("stdout", {"type": "stdout"}, StdoutSettings()),
    (
        "stdout,format=compact",
        {"type": "stdout", "format": "compact"},
        StdoutSettings(Format.COMPACT),
    ),
    ("file:/a/b", {"type": "file", "path": "/a/b"}, FileSettings(Path("/a/b"))),
    ("file:/a,b:c=d,e", {"type": "file", "path": "/a,b:c=d,e"}, FileSettings(Path("/a,b:c=d,e"))),
    (
        "file:/a/b,size=10M,keep=2,format=compact",
        {"type": "file", "path": "/a/b", "size": "10M", "keep": 2, "format": "compact"},
        FileSettings(Path("/a/b"), 10 << 20, 2, Format.COMPACT),
    ),
    ("file:/a,size=4096", {"type": "file", "path": "/a", "size": 4096}, FileSettings(Path("/a"), 4096)),
    ("file:/a,size=5K", {"type": "file", "path": "/a", "size": "5K"}, FileSettings(Path("/a"), 5120)),
    ("file:/a,size=1G", {"type": "file", "path": "/a", "size": "1G"}, FileSettings(Path("/a"), 1 << 30)),
    ("journald", {"type": "journald"}, JournaldSettings()),
    ("spool:/a/b", {"type": "spool", "path": "/a/b"}, SpoolSettings(Path("/a/b"))),
    (
        "spool:/a,size=64M",
        {"type": "spool", "path": "/a", "size": "64M"},
        SpoolSettings(Path("/a"), 64 << 20),
    ),
    ("syslog", {"type": "syslog"}, SyslogSettings()),
    ("syslog:/run/log", {"type": "syslog", "address": "/run/log"}, SyslogSettings("local", "/run/log")),
    (
        "syslog:udp://logs.example:514,facility=local3",
        {"type": "syslog", "address": "udp://logs.example:514", "facility": "local3"},
        SyslogSettings("udp", "logs.example", 514, "local3"),
    ),
    (
        "syslog:tcp://[::1]:6514,most=60000",
        {"type": "syslog", "address": "tcp://[::1]:6514", "most": 60_000},
        SyslogSettings("tcp", "::1", 6514, most=60_000),
    ),
]


@pytest.mark.parametrize(("word", "table", "expected"), CASES)
def test_word_and_table_are_equivalent(word: str, table: dict[str, Any], expected: SinkSettings) -> None:
    assert parse_sink(word) == sink_settings(table) == expected


@pytest.mark.parametrize(("word", "_table", "expected"), CASES)
def test_name_is_a_word_for_the_same_destination(
    word: str, _table: dict[str, Any], expected: SinkSettings
) -> None:
    assert word.startswith(str(expected))
    assert str(parse_sink(str(expected))) == str(expected)


def test_relative_path_is_resolved_at_once() -> None:
    assert parse_sink("file:x") == FileSettings(Path.cwd() / "x")


WRONG = [
    ("", "there is no sink ''; use stdout, file:PATH, journald, syslog,"),
    ("nonsense", "there is no sink 'nonsense'; use stdout"),
    ("stdout:x", "the sink stdout has no address; it has format"),
    ("stdout,format=xml", "there is no format 'xml'; use jsonl, compact, ocsf"),
    ("journald,size=1", "the sink journald has no size; it has no options"),
    ("file", "the sink file needs the path of a file, such as file:/var/log/auditsense.jsonl"),
    ("file:", "the sink file needs the path of a file"),
    ("file:/var/log/", "the sink file needs the path of a file"),
    ("file:/a\0b", "the sink file needs the path of a file"),
    ("file:/a,size=10", "'10' is not a file size; use bytes, such as 10M, 4096 or more"),
    ("file:/a,size=10MB", "'10MB' is not a file size"),
    ("file:/a,size=-10M", "'-10M' is not a file size"),
    ("file:/a,keep=3", "the sink file keeps older files only with a size, such as size=10M,keep=5"),
    ("file:/a,size=1M,keep=0", "keep is '0', and must be a number from 1 to 999"),
    ("file:/a,size=1M,keep=x", "keep is 'x', and must be a number from 1 to 999"),
    ("file:/a,rotate=3", "the sink file has no rotate; it has format, keep, path, size"),
    ("file:/a,sise=1M", "the sink file has no sise; did you mean size?"),
    ("file:/a,SIZE=1M", "the sink file has no SIZE"),
    ("file:/a,size=", "'' is not a file size"),
    ("file:/a,size=1M,size=2M", "the sink 'file:/a,size=1M,size=2M' has size twice; write it once"),
    ("file:/a,path=/b", "the sink 'file:/a,path=/b' has path twice"),
    ("file:/a,type=stdout", "the sink 'file:/a,type=stdout' has type twice"),
    ("spool", "the sink spool needs the path of a folder, such as spool:/var/lib/auditsense-ship"),
    ("spool:/a,size=4096", "'4096' is not a file size; use bytes, such as 10M, 1048576 or more"),
    ("spool:/a,format=jsonl", "the sink spool has no format; it has path, size"),
    ("jounald", "there is no sink 'jounald'; did you mean journald?"),
    ("journald:/x", "the sink journald has no address"),
    ("syslog:udp://x:1,rotate=3", "the sink syslog has no rotate"),
    ("file:/a,facility=user", "the sink file has no facility; it has format, keep, path, size"),
    ("syslog,facility=mine", "there is no syslog facility 'mine'; use one of user, "),
    ("syslog:udp://x", "'udp://x' is not an address of a syslog daemon; use udp://HOST:PORT"),
    ("syslog:udp://x:0", "'udp://x:0' is not an address"),
    ("syslog:udp://x:65536", "'udp://x:65536' is not an address"),
    ("syslog:tls://x:1", "'tls://x:1' is not an address"),
    ("syslog:tcp://x:1/path", "'tcp://x:1/path' is not an address"),
    ("syslog:tcp://a b:1", "'tcp://a b:1' is not an address"),
    ("syslog:tcp://ü:1", "'tcp://ü:1' is not an address"),
    ("syslog,most=100", "most is '100', and must be a number from 480 to 65000"),
]


@pytest.mark.parametrize(("word", "message"), WRONG)
def test_invalid_word_is_refused_with_a_remedy(word: str, message: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_sink(word)
    assert str(refused.value).startswith(message)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "table",
    [
        {},
        {"type": 3},
        {"type": "file", "path": 3},
        {"type": "file", "path": "/a", "size": 1.5e6},
        {"type": "file", "path": "/a", "size": True},
        {"type": "file", "path": "/a", "size": "1M", "keep": True},
        {"type": "file", "path": "/a", "size": "1M", "keep": [1]},
        {"type": "syslog", "address": None},
        {"type": "syslog", "adress": "/dev/log"},
    ],
)
def test_value_of_wrong_type_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        sink_settings(table)
