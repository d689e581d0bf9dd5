"""The journal: entries are read back, and any other line is refused."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense.errors import AuditSenseError, InputError
from auditsense.kernel.audit_status import StatusField
from auditsense.kernel.plan import AddRule, BecomeOwner, ChangeSetting, Step
from auditsense.kernel.rules import auditctl
from auditsense.kernel.undo_journal import Entry, decode, encode
from auditsense.kernel.undo_journal_file import JournalFile, find_journals

RULES = [
    auditctl.parse(line, machine="x86_64")
    for line in (
        "-w /proc/ -p r -k audit_proc",
        "-a always,exit -F arch=b64 -S openat -F dir=/proc -F perm=r -F uid=65534 -k audit_proc",
        "-a never,exit -S all -F exe=/usr/bin/true",
        "-a always,exclude -F msgtype=CWD",
    )
]
WORDS = st.integers(0, 2**32 - 1)
STEPS: st.SearchStrategy[Step] = st.one_of(
    st.builds(
        ChangeSetting,
        st.sampled_from([StatusField.BACKLOG_WAIT_TIME, StatusField.BACKLOG_LIMIT]),
        WORDS,
        WORDS,
    ),
    st.builds(ChangeSetting, st.just(StatusField.ENABLED), st.integers(0, 1), st.integers(0, 1)),
    st.builds(BecomeOwner),
    st.builds(AddRule, st.sampled_from(RULES)),
)
ENTRIES = st.builds(Entry, st.integers(0, 2**31 - 1), st.lists(STEPS, max_size=8).map(tuple))


@given(entry=ENTRIES)
def test_entry_survives_encode_and_decode(entry: Entry) -> None:
    line = encode(entry)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == entry


def refused(line: bytes) -> None:
    with pytest.raises(InputError, match="not a takeover journal") as error:
        decode(line)
    assert "\n" not in str(error.value)


@given(entry=ENTRIES, cut=st.integers(0, 10_000))
def test_truncated_line_is_refused(entry: Entry, cut: int) -> None:
    line = encode(entry)
    refused(line[: cut % (len(line) - 1)])


@given(entry=ENTRIES, place=st.integers(0, 10_000), byte=st.integers(0, 255))
def test_line_with_changed_byte_is_entry_or_refused(entry: Entry, place: int, byte: int) -> None:
    line = bytearray(encode(entry))
    line[place % len(line)] = byte
    try:
        decode(bytes(line))
    except InputError:
        return


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "set": st.sampled_from(["ENABLED", "BACKLOG_LIMIT", "PID", "FAILURE", "", 7, None, ["ENABLED"]]),
        "old": JSON,
        "new": JSON,
        "rule": JSON | st.binary(max_size=1200).map(lambda data: base64.b64encode(data).decode()),
        "own": JSON,
    },
)


@given(line=st.binary(max_size=300) | JSON.map(lambda value: json.dumps(value).encode()))
def test_arbitrary_line_is_refused(line: bytes) -> None:
    refused(line)


@given(owner=JSON, steps=JSON | st.lists(NEARLY | JSON, max_size=3))
def test_nearly_valid_line_is_entry_or_refused(owner: object, steps: object) -> None:
    try:
        entry = decode(json.dumps({"owner": owner, "steps": steps}).encode())
    except InputError:
        return
    assert decode(encode(entry)) == entry


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"owner": 1, "steps": ' + b'{"set":' * 100_000,
        b'{"owner": 1e999, "steps": []}',
        b'{"owner": true, "steps": []}',
        b'{"owner": -1, "steps": []}',
        b'{"owner": 4294967297, "steps": []}',
        b'{"owner": "1", "steps": []}',
        b'{"owner": 1, "steps": [{}]}',
        b'{"owner": 1, "steps": ["set"]}',
        b'{"owner": 1, "steps": [{"rule": "A"}]}',
        b'{"owner": 1, "steps": [{"rule": "AAAA"}]}',
        b'{"owner": 1, "steps": [{"set": "ENABLED", "old": 0}]}',
        b'{"owner": 1, "steps": [{"set": "BACKLOG_LIMIT", "old": 4294967296, "new": 0}]}',
        b'{"owner": 1, "steps": [{"set": "BACKLOG_LIMIT", "old": NaN, "new": 0}]}',
    ],
    ids=range(17),
)
def test_hostile_line_is_refused(line: bytes) -> None:
    refused(line)


@pytest.mark.parametrize(
    "step",
    [
        {"set": "ENABLED", "old": 2, "new": 1},
        {"set": "FAILURE", "old": 2, "new": 1},
        {"set": "PID", "old": 1, "new": 0},
        {"set": "RATE_LIMIT", "old": 1, "new": 0},
        {"set": "LOST", "old": 1, "new": 0},
    ],
)
def test_line_outside_takeover_values_is_refused(step: dict[str, object]) -> None:
    refused(json.dumps({"owner": 1, "steps": [step]}).encode())


def test_find_journals_closes_all_files(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    journal = JournalFile(folder)
    journal.write((BecomeOwner(),))
    (folder / "takeover.1.json").mkdir(mode=0o700)
    before = sorted(Path("/proc/self/fd").iterdir())
    with pytest.raises(AuditSenseError, match="it is no file"):
        find_journals(folder)
    (folder / "takeover.1.json").rmdir()
    (stale,) = find_journals(folder)
    assert stale.steps == (BecomeOwner(),)
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    journal.remove()
