"""Compact lines split back into their fields, whatever names a process chooses."""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
import unicodedata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense._escape import quoted, title
from auditsense.cli.style import painter
from auditsense.detect.host import Host
from auditsense.detect.notices import withheld_document
from auditsense.sinks.file import FileSink
from auditsense.sinks.format import COLUMNS, Format, compact
from auditsense.sinks.stream import StreamSink
from auditsense.testing import burst, open_event

if TYPE_CHECKING:
    from auditsense import Document
    from tests.support.faults import Recorder

PROGRAM = Path(sys.executable).with_name("auditsense")
WORD = r'(?:"(?:[^"\\]|\\.)*"|[^"\\\s\[\]:,=()…]+)'
CUT = rf"{WORD}…?|…"
LINE = re.compile(
    rf"(?P<date>\S+) (?P<time>\S+) (?P<severity>\w+) (?P<rule>[A-Za-z ]+…?) (?P<state>\w+): "
    rf"(?P<uid>uid )?(?P<user>{CUT})(?: \(login (?P<login>{CUT})\))? (?P<name>{CUT})\[(?P<pid>{WORD})\]"
    rf"(?: (?P<exe>{CUT}))?, (?P<count>\d+)x (?P<path>{CUT}) in all"
    rf"(?:, (?P<command>{CUT}))?(?:, parent (?P<parent>{CUT})\[(?P<parent_pid>\d+)\])?"
)
FORGED = "/bin/true, 10x /proc in 0.9 s, id, parent init[1]"
INVISIBLE = [
    *(
        "\u3164",
        "\u115f",
        "\u1160",
        "\uffa0",
        "\u2800",
        "\u00ad",
        "\u034f",
        "\u200b",
        "\u200d",
        "\u2060",
        "\ufeff",
    ),
    *(
        "\u00a0",
        "\u2003",
        "\u3000",
        "\u202e",
        "\u2066",
        "\u061c",
        "\ufe0f",
        "\U000e0041",
        "\U000e0100",
        "\u180e",
    ),
    *("\u0301", "\u20dd", "\u17b4", "\U0001d159", "\ue000", "\x7f", "\x85", "\udc80", "\U0010ffff"),
]
QUOTE_LOOKALIKES = ["\u201c", "\u201d", "\uff02", "\u02ba", "\u2033", "\u301e", "\u275e"]


def document(**fields: str) -> Document:
    """Return a closing document with values that a process chose."""
    closing: Any = {
        "@timestamp": "2026-11-24T04:05:15.774Z",
        "event": {"kind": "alert", "action": "openat"},
        "rule": {"name": "Some Rule"},
        "process": {
            "name": fields["name"],
            "pid": 4352,
            "executable": fields["exe"],
            "title": fields.get("command", ""),
            "parent": {"pid": 4308, "name": fields.get("parent", "bash")},
        },
        "user": {"id": "0"},
        "file": {"path": fields["path"]},
        "auditsense": {"state": "closed", "severity": "low", "count": 12},
    }
    if "user" in fields:
        closing["user"]["name"] = fields["user"]
    if "login" in fields:
        closing["user"]["audit"] = {"id": "1000", "name": fields["login"]}
    return cast("Document", closing)


def columns(text: str) -> int:
    """Return how many columns a text takes, two for a wide character."""
    wide = sum(unicodedata.east_asian_width(character) in "WF" for character in text)
    return len(text) + wide - sum(unicodedata.category(character) == "Mn" for character in text)


def read_back(word: str) -> str:
    """Return the value of a word in a line."""
    if not word.startswith('"'):
        return word
    # Python has the same escapes, joins no surrogates, and allows no line end in a literal.
    value: str = ast.literal_eval(word)
    return value


def split(line: str) -> dict[str, str | None]:
    """Return the words of a line by field; None: left out."""
    match = LINE.fullmatch(line)
    assert match is not None, line
    return match.groupdict()


def is_shown(value: str, word: str | None) -> bool:
    """Return whether a word is a value, or its start and a mark that no value can have."""
    if word is None:
        return True
    cut = word.endswith("…")
    shown = read_back(word.removesuffix("…"))
    return value.startswith(shown) if cut else value == shown


CHOSEN = st.text(st.characters(codec=None), min_size=1, max_size=12) | st.sampled_from(
    [
        FORGED,
        *INVISIBLE,
        '"',
        "\\",
        "\\x41",
        "?",
        'a" user 0',
        "x[1]",
        "user",
        "a:b",
        "a,b",
        "a=b",
        "日本",
        "größe",
    ]
)


@given(name=CHOSEN, exe=CHOSEN, path=CHOSEN, user=CHOSEN, login=CHOSEN, command=CHOSEN, parent=CHOSEN)
def test_line_splits_back_to_its_fields(**chosen: str) -> None:
    line = compact(document(**chosen))
    assert line.isprintable()
    assert columns(line) <= COLUMNS
    words = split(line)
    assert all(
        is_shown(
            chosen[field].replace("\0", " ").strip() if field == "command" else chosen[field], words[field]
        )
        for field in chosen
    )
    assert all(words[field] for field in ("name", "path", "user"))
    assert (words["pid"], words["count"], words["uid"]) == ("4352", "12", None)


LONG = st.text(st.characters(codec=None), min_size=60, max_size=300)


@given(name=LONG, exe=LONG, path=LONG, user=LONG, login=LONG, command=LONG, parent=LONG)
def test_long_values_are_cut_to_fit(**chosen: str) -> None:
    line = compact(document(**chosen))
    assert columns(line) <= COLUMNS
    words = split(line)
    assert all((words[field] or "").endswith("…") for field in ("name", "user"))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({}, 'bob ps[4352], 12x /proc in all, "ps -ef", parent bash[4308]'),
        ({"login": "alice"}, 'bob (login alice) ps[4352], 12x /proc in all, "ps -ef", parent bash[4308]'),
        ({"exe": "/opt/ps"}, 'bob ps[4352] /opt/ps, 12x /proc in all, "ps -ef", parent bash[4308]'),
        ({"exe": "/usr/bin/ps3.11"}, 'bob ps[4352], 12x /proc in all, "ps -ef", parent bash[4308]'),
        ({"command": "ps\0"}, "bob ps[4352], 12x /proc in all, parent bash[4308]"),
        ({"command": "ps …"}, 'bob ps[4352], 12x /proc in all, "ps \\u2026", parent bash[4308]'),
        ({"parent": ""}, 'bob ps[4352], 12x /proc in all, "ps -ef", parent 4308'),
        (
            {"command": f"ps {'x' * 200}"},
            f'bob ps[4352], 12x /proc in all, "ps {"x" * 17}"…, parent bash[4308]',
        ),
    ],
    ids=str,
)
def test_line_shows_names_and_command_line(change: dict[str, str], line: str) -> None:
    fields = {"name": "ps", "exe": "/usr/bin/ps", "path": "/proc", "user": "bob", "command": "ps -ef"}
    shown = compact(document(**(fields | change)))
    assert shown == f"2026-11-24 04:05:15.774 low Some Rule closed: {line}"


def test_unknown_user_is_shown_by_number() -> None:
    assert ": uid 0 ps[4352]," in compact(document(name="ps", exe="/usr/bin/ps", path="/proc"))


@given(name=CHOSEN, exe=CHOSEN, path=CHOSEN, user=CHOSEN, command=CHOSEN)
def test_color_adds_nothing_but_its_sequences(**chosen: str) -> None:
    painted = compact(document(**chosen), painter(None, "always"))
    assert re.sub("\x1b\\[[0-9;]+m", "", painted) == compact(document(**chosen))
    assert painted.count("\x1b") == 8
    assert "\x1b[36mlow\x1b[0m" in painted


@given(CHOSEN)
def test_quoted_word_is_one_word(value: str) -> None:
    word = quoted(value)
    assert re.fullmatch(WORD, word)
    assert read_back(word) == value


@pytest.mark.parametrize("mark", INVISIBLE, ids=ascii)
def test_invisible_character_is_escaped(mark: str, fault: Recorder) -> None:
    for value in (mark, f"{mark}ls", f"/bin/{mark}ls", f"/{mark}"):
        word = quoted(value)
        assert word.isascii()
        assert word.startswith('"')
    fault(
        "a process chooses a name that looks like other fields",
        how="names with blanks, quotes, line ends, invisible characters and direction marks",
        did="quoted them and escaped invisible characters; each line splits back into its fields",
        lost="nothing",
        reported="nothing",
        host="not touched: no kernel is involved",
    )


def test_message_about_withheld_alerts_quotes_names() -> None:
    row: Any = {"rule": "pspy", "pid": 1, "name": "a[1] x", "executable": FORGED, "user": "7", "count": 3}
    document = withheld_document(Host("0" * 32, "here"), rows=[row], ms=0, count=1)
    assert document["message"].endswith(f'first: "a[1] x"[1] "{FORGED}" user 7, 3 matches')


@pytest.mark.parametrize("mark", QUOTE_LOOKALIKES, ids=ascii)
def test_character_like_quote_is_escaped(mark: str) -> None:
    assert mark not in quoted(f"a{mark} user 0")


@pytest.mark.parametrize("value", ["\u05d0\u05d1", "\u0627\u0644", "\u0661", "\U0001e900"], ids=ascii)
def test_character_that_changes_direction_is_escaped(value: str) -> None:
    assert quoted(value).isascii()


def test_only_few_marks_after_letters_stay() -> None:
    assert quoted("e\u0301") == "e\u0301"
    assert quoted("/\u0301") == '"/\\u0301"'
    assert quoted("e" + "\u0301" * 3) == '"e\u0301\u0301\\u0301"'


@pytest.mark.parametrize("value", ["/usr/bin/ls", "日本", "größe", "カード", "a+b~c", "0"])
def test_plain_word_stays_unquoted(value: str) -> None:
    assert quoted(value) == value


def test_title_keeps_blanks_only() -> None:
    assert title("Potential Pspy Process Monitoring Detected") == "Potential Pspy Process Monitoring Detected"
    assert title("a: b") == '"a: b"'
    assert title("a  b") == '"a  b"'


# --- outputs with limited encodings -----------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "koi8-r", "utf-8"])
@pytest.mark.parametrize("text", ["日本", "\udcff", "é"])
def test_stream_escapes_characters_outside_its_encoding(encoding: str, text: str) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding=encoding, errors="strict")
    StreamSink(stream, Format.COMPACT).write([document(name=text, exe=text, path=text)])
    stream.flush()
    written = raw.getvalue()
    assert b", 12x " in written
    assert written == (compact(document(name=text, exe=text, path=text)) + "\n").encode(
        encoding, "backslashreplace"
    )


def test_file_takes_any_name(tmp_path: Path) -> None:
    sink = FileSink(tmp_path / "alerts", form=Format.COMPACT)
    sink.write([document(name="\udcff", exe="日本", path="\udcff")])
    sink.close()
    assert (tmp_path / "alerts").read_bytes().count(b"\n") == 1


LOCALES = [
    {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    {"PYTHONIOENCODING": "latin-1"},
    {"PYTHONIOENCODING": "ascii"},
]


def run(
    *words: str | bytes, locale: dict[str, str], stdin: IO[bytes] | int = subprocess.DEVNULL
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [PROGRAM, *words],
        env={**os.environ, **locale},
        capture_output=True,
        stdin=stdin,
        check=False,
        timeout=300,
    )


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a log of a program called 日本 and of one whose name is invalid UTF-8."""
    path = tmp_path / "audit.log"
    names: list[str | bytes] = ["日本", b"\xff\xfe", "café"]
    events = [
        open_event(ms=event.ms, serial=event.serial + 100 * turn, pid=4000 + turn, comm=comm, exe=comm)
        for turn, comm in enumerate(names)
        for event in burst(12)
    ]
    path.write_bytes(b"".join(event.text for event in events))
    return path


@pytest.mark.parametrize("locale", LOCALES, ids=str)
@pytest.mark.parametrize("form", ["compact", "jsonl"])
def test_any_locale_takes_any_name(locale: dict[str, str], form: str, log: Path, fault: Recorder) -> None:
    replayed = run("replay", "--format", form, str(log), locale=locale)
    assert (replayed.returncode, replayed.stderr) == (0, b"")
    assert len(replayed.stdout.splitlines()) == 6
    with log.open("rb") as records:
        watched = run(
            *("run", "--source", "audisp", "--status-socket", "off", "--format", form),
            locale=locale,
            stdin=records,
        )
    assert watched.returncode == 0
    assert b"Traceback" not in watched.stderr
    assert watched.stdout.count(b"\n") >= 3
    fault(
        "standard output cannot hold the characters of a program's name",
        how="a program called 日本 and one with invalid UTF-8; ASCII and Latin-1 locales; run and replay",
        did="wrote the characters as backslash escapes, and continued",
        lost="nothing",
        reported="nothing",
        host="not touched: no kernel is involved",
    )


@pytest.mark.parametrize("locale", LOCALES, ids=str)
@pytest.mark.parametrize(
    "words",
    [
        ["replay", b"/nonexistent/\xff\xe6\x97\xa5"],
        ["config", "check", "-c", b"/nonexistent/\xff"],
        ["config", "dump", "-c", b"/nonexistent/\xff"],
        ["detections", "check", b"/nonexistent/\xff"],
        ["detections", "show", b"\xff\xe6"],
        ["status", "--status-socket", b"/nonexistent/\xff"],
        ["run", "--source", b"log:/nonexistent/\xff"],
        ["run", "--sink", b"file:/nonexistent/\xff"],
        ["units", "--program", b"/\xff"],
        [b"\xff\xe6"],
        ["schema", b"\xff"],
    ],
)
def test_any_locale_takes_any_argument(words: list[str | bytes], locale: dict[str, str]) -> None:
    ended = run(*words, locale=locale)
    assert ended.returncode in {1, 2}
    assert b"Traceback" not in ended.stderr
    assert ended.stderr.count(b"\n") == 1
