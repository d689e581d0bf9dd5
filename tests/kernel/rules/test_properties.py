"""Properties of every audit rule: it survives encoding and formatting, and damage is harmless.

The rules drawn are any that the package holds for sound and that auditctl can say.
"""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from auditsense import syscalls
from auditsense.errors import AuditRuleError
from auditsense.kernel.rules import auditctl
from auditsense.kernel.rules.constants import (
    COMPARISONS,
    FILETYPES,
    SYSCALL_LISTS,
    Action,
    FieldId,
    Filter,
    Operator,
)
from auditsense.kernel.rules.field import PATH_FIELDS, STRING_FIELDS, RuleField
from auditsense.kernel.rules.rule import AuditRule

_SINGLE = {FieldId.ARCH, FieldId.EXE}
_PLACING = {FieldId.INODE, FieldId.WATCH, FieldId.DIR}

_TEXT = st.binary(min_size=1, max_size=20).filter(lambda text: not {0, 1} & set(text))
_PATH = st.lists(_TEXT.filter(lambda part: b"/" not in part and part != b".."), min_size=1).map(
    lambda parts: b"/" + b"/".join(parts)
)
_WORD = st.integers(0, 0xFFFF_FFFF) | st.integers(0, 70) | st.integers(0xFFFF_FF80, 0xFFFF_FFFF)
_KEYS = st.lists(_TEXT, min_size=1, max_size=3).map(b"\x01".join)
_NUMBERS = {
    FieldId.PERM: st.integers(1, 15),
    FieldId.FILETYPE: st.sampled_from(sorted(FILETYPES.values())),
    FieldId.FIELD_COMPARE: st.sampled_from(sorted(COMPARISONS)),
    FieldId.SUCCESS: st.integers(0, 1),
    FieldId.LOGINUID_SET: st.integers(0, 1),
    FieldId.ARCH: st.sampled_from(sorted(syscalls.ARCHES.values())) | _WORD,
}


def _sample(field: FieldId) -> int | bytes:
    if field in STRING_FIELDS:
        return b"/sample"
    return 0o100000 if field is FieldId.FILETYPE else 1


def _operators(field: FieldId) -> list[Operator]:
    operators = []
    for op in Operator:
        try:
            RuleField(field, op, _sample(field))
        except AuditRuleError:
            continue
        operators.append(op)
    return operators


def _allowed(which: Filter) -> list[FieldId]:
    fields = []
    for field in set(FieldId) - {FieldId.FILTERKEY}:
        try:
            RuleField(field, _operators(field)[0], _sample(field)).check_filter(which)
        except AuditRuleError:
            continue
        fields.append(field)
    return sorted(fields)


@st.composite
def _fields(draw: st.DrawFn, which: Filter) -> tuple[RuleField, ...]:
    kinds = draw(st.lists(st.sampled_from(_allowed(which)), max_size=6))
    fields: list[RuleField] = []
    placed = False
    for kind in kinds:
        if kind in _SINGLE and kind in [field.field for field in fields]:
            continue
        if kind in _PLACING:
            if placed:
                continue
            placed = True
        values: st.SearchStrategy[int | bytes] = _NUMBERS.get(kind, _WORD)
        if kind in STRING_FIELDS:
            values = _PATH if kind in PATH_FIELDS else _TEXT
        op = draw(st.sampled_from(_operators(kind)))
        try:
            fields.append(RuleField(kind, op, draw(values)))
        except AuditRuleError:  # the id of an unset user
            fields.append(RuleField(kind, op, 0))
    if which in {Filter.EXIT, Filter.IO_URING, Filter.FILESYSTEM} and draw(st.booleans()):
        fields.append(RuleField(FieldId.FILTERKEY, Operator.EQUAL, draw(_KEYS)))
    return tuple(fields)


@st.composite
def rules(draw: st.DrawFn) -> AuditRule:
    """Draw a rule in the form auditctl gives it: key last, no mask where none is read."""
    which = draw(st.sampled_from(Filter))
    if which in SYSCALL_LISTS:
        numbers = st.frozensets(st.integers(0, 2031), min_size=1, max_size=8)
        calls = draw(st.none() | numbers)
    else:
        calls = frozenset() if which is Filter.TASK else None
    return AuditRule(
        filter=which,
        action=draw(st.sampled_from(Action)),
        fields=draw(_fields(which)),
        syscalls=calls,
        prepend=draw(st.booleans()),
    )


def is_dir(path: str) -> bool:
    """Treat every second path as a directory."""
    return len(path) % 2 == 0


@given(rule=rules())
def test_rule_survives_encode_and_decode(rule: AuditRule) -> None:
    assert AuditRule.from_bytes(rule.to_bytes()) == rule


@given(rule=rules(), padding=st.binary(max_size=3))
def test_netlink_padding_after_the_strings_is_ignored(rule: AuditRule, padding: bytes) -> None:
    assert AuditRule.from_bytes(rule.to_bytes() + padding) == rule


@given(rule=rules())
def test_rule_survives_format_and_parse(rule: AuditRule) -> None:
    text = auditctl.format_rule(rule, is_dir=is_dir, machine="x86_64")
    read = auditctl.parse(text, is_dir=is_dir, machine="x86_64")
    assert read == rule


@given(data=st.binary(max_size=1100))
def test_arbitrary_bytes_raise_only_rule_errors(data: bytes) -> None:
    message = ""
    try:
        AuditRule.from_bytes(data)
    except AuditRuleError as error:
        message = str(error)
    assert "\n" not in message


@given(
    rule=rules(),
    words=st.lists(st.tuples(st.integers(0, 259), st.integers(0, 0xFFFFFFFF)), max_size=4),
    tail=st.binary(max_size=40),
    length=st.integers(0, 1100),
)
def test_damaged_rule_raises_only_rule_errors(
    rule: AuditRule, words: list[tuple[int, int]], tail: bytes, length: int
) -> None:
    data = bytearray(rule.to_bytes() + tail)
    for index, value in words:
        struct.pack_into("=I", data, index * 4, value)
    for hostile in (bytes(data), bytes(data[:length])):
        try:
            AuditRule.from_bytes(hostile)
        except AuditRuleError:
            continue


_WORDS = st.sampled_from(
    ["-a", "always,exit", "-w", "/proc", "-p", "r", "-S", "openat", "-F", "a0=", "uid=", "exit=-E"]
) | st.text(max_size=8)


@given(
    line=st.text(max_size=60)
    | st.lists(_WORDS, max_size=8).map(" ".join)
    | st.text(max_size=12).map(lambda text: f"-a always,exit -F a0=1{text} -F exit={text}")
)
def test_arbitrary_text_is_a_rule_or_a_one_line_error(line: str) -> None:
    message = ""
    try:
        rule = auditctl.parse(line, is_dir=is_dir, machine="x86_64")
    except AuditRuleError as error:
        message = str(error)
    else:
        assert AuditRule.from_bytes(rule.to_bytes()) == rule
    assert message.isprintable()
