"""The audit rule as a value and as bytes: `auditsense.kernel.rules.rule`."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from auditsense.errors import AuditRuleError
from auditsense.kernel.rules.constants import Action, FieldId, Filter, Operator
from auditsense.kernel.rules.field import RuleField
from auditsense.kernel.rules.rule import AuditRule

DIR = RuleField(FieldId.DIR, Operator.EQUAL, b"/proc")
PERM = RuleField(FieldId.PERM, Operator.EQUAL, 4)
KEY = RuleField(FieldId.FILTERKEY, Operator.EQUAL, b"audit_proc")
WATCH = AuditRule(Filter.EXIT, Action.ALWAYS, (DIR, PERM, KEY))
OPENS = AuditRule(Filter.EXIT, Action.ALWAYS, (KEY,), frozenset({2, 257, 437}))

# Byte offsets in struct audit_rule_data (linux/audit.h).
FLAGS, ACTION, FIELD_COUNT, MASK, FIELDS, VALUES, FIELDFLAGS, BUFLEN, BUF = (
    0,
    4,
    8,
    12,
    12 + 256,
    12 + 512,
    12 + 768,
    12 + 1024,
    1040,
)


def word(data: bytes, offset: int) -> int:
    (value,) = struct.unpack_from("=I", data, offset)
    assert isinstance(value, int)
    return value


def changed(rule: AuditRule, offset: int, value: int) -> bytes:
    data = bytearray(rule.to_bytes())
    struct.pack_into("=I", data, offset, value)
    return bytes(data)


def test_proc_watch_encodes_to_the_kernels_bytes() -> None:
    data = WATCH.to_bytes()
    assert len(data) == 1040 + 15
    assert (word(data, FLAGS), word(data, ACTION), word(data, FIELD_COUNT)) == (4, 2, 3)
    assert data[MASK:FIELDS] == b"\xff" * 256
    assert [word(data, FIELDS + 4 * i) for i in range(4)] == [107, 106, 210, 0]
    assert [word(data, VALUES + 4 * i) for i in range(4)] == [5, 4, 10, 0]
    assert [word(data, FIELDFLAGS + 4 * i) for i in range(4)] == [0x40000000] * 3 + [0]
    assert word(data, BUFLEN) == 15
    assert data[BUF:] == b"/procaudit_proc"


def test_each_syscall_is_a_bit_of_the_mask() -> None:
    data = OPENS.to_bytes()
    bits = {n for n in range(2048) if word(data, MASK + n // 32 * 4) >> n % 32 & 1}
    assert bits == {2, 257, 437}


def test_prepending_is_a_bit_of_the_flags() -> None:
    assert word(replace(WATCH, prepend=True).to_bytes(), FLAGS) == 0x14
    assert AuditRule.from_bytes(replace(WATCH, prepend=True).to_bytes()).prepend


def test_rule_is_recognised_without_its_class_bits() -> None:
    listed = AuditRule.from_bytes(changed(WATCH, MASK + 63 * 4, 0x0000FFFF))
    assert listed.syscalls is None
    assert WATCH.same_as(listed)


def test_prepend_does_not_affect_same_as() -> None:
    assert WATCH.same_as(replace(WATCH, prepend=True))
    assert replace(WATCH, prepend=True) != WATCH


@pytest.mark.parametrize(
    "other",
    [
        replace(WATCH, action=Action.NEVER),
        replace(WATCH, filter=Filter.IO_URING, fields=(DIR, KEY)),
        replace(WATCH, syscalls=frozenset({257})),
        replace(WATCH, fields=(PERM, DIR, KEY)),
        replace(WATCH, fields=(DIR, PERM)),
        replace(WATCH, fields=(RuleField(FieldId.DIR, Operator.EQUAL, b"/proc/"), PERM, KEY)),
        replace(WATCH, fields=(DIR, RuleField(FieldId.PERM, Operator.EQUAL, 5), KEY)),
        replace(WATCH, fields=(DIR, PERM, RuleField(FieldId.FILTERKEY, Operator.EQUAL, b"other"))),
        replace(WATCH, fields=(DIR, PERM, RuleField(FieldId.FILTERKEY, Operator.NOT_EQUAL, b"x"))),
    ],
)
def test_any_other_difference_affects_same_as(other: AuditRule) -> None:
    assert not WATCH.same_as(other)


@pytest.mark.parametrize("length", [0, 1, 16, 1039, 1040, 1054])
def test_rule_cut_short_is_refused(length: int) -> None:
    with pytest.raises(AuditRuleError):
        AuditRule.from_bytes(WATCH.to_bytes()[:length])


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (FLAGS, 2, "the rule has list 0x2"),
        (FLAGS, 0x24, "the rule has list 0x24"),
        (ACTION, 1, "the rule has action 0x1"),
        (FIELD_COUNT, 65, "65 fields, the limit is 64"),
        (FIELD_COUNT, 0xFFFFFFFF, "4294967295 fields, the limit is 64"),
        (FIELD_COUNT, 2, "10 bytes of text belong to no field"),
        (FIELD_COUNT, 4, "the rule has operator 0x0"),
        (MASK, 0, "asks for a class of syscalls"),
        (FIELDS, 999, "the rule has field 0x3e7"),
        (FIELDFLAGS, 0, "the rule has operator 0x0"),
        (VALUES, 0xFFFFFFFF, "dir claims 4294967295 bytes, 15 are left"),
        (VALUES, 16, "dir claims 16 bytes, 15 are left"),
        (VALUES, 0, "dir is empty"),
        (VALUES + 4, 16, "perm 0x10 is not a value that the kernel knows"),
        (BUFLEN, 16, "16 bytes of text, it has 15"),
        (BUFLEN, 11, "11 bytes of text, it has 15"),
        (BUFLEN, 0xFFFFFFFF, "4294967295 bytes of text, it has 15"),
        (BUF, 0x00000000, "contains a NUL byte"),
    ],
)
def test_inconsistent_bytes_are_named(offset: int, value: int, message: str) -> None:
    with pytest.raises(AuditRuleError, match=message):
        AuditRule.from_bytes(changed(WATCH, offset, value))


@pytest.mark.parametrize(
    ("calls", "message"),
    [
        (frozenset({2032}), "syscall 2032 is not within 0 to 2031"),
        (frozenset({-1}), "syscall -1 is not within 0 to 2031"),
        (frozenset[int](), "for no syscall"),
        (frozenset(range(2032)), "lists every syscall"),
    ],
)
def test_mask_is_neither_empty_nor_too_long(calls: frozenset[int], message: str) -> None:
    with pytest.raises(AuditRuleError, match=message):
        replace(WATCH, syscalls=calls)


def test_text_and_number_fields_reject_each_other() -> None:
    with pytest.raises(AuditRuleError, match="dir takes text"):
        RuleField(FieldId.DIR, Operator.EQUAL, 5)
    with pytest.raises(AuditRuleError, match="uid takes a number"):
        RuleField(FieldId.UID, Operator.EQUAL, b"0")


def test_path_is_limited_to_4096_bytes() -> None:
    RuleField(FieldId.DIR, Operator.EQUAL, b"/" + b"a" * 4095)
    with pytest.raises(AuditRuleError, match="dir is 4097 bytes long, the kernel takes 4096"):
        RuleField(FieldId.DIR, Operator.EQUAL, b"/" + b"a" * 4096)
