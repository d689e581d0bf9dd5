"""The rule table of the core as plain values.

`detections.compiler` compiles detections to such rules, and a ring copies them into the core at creation.
The core's bounds are 64 rules and 65,536 entries of each other kind.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Field(enum.IntEnum):
    """Fields of an event, in the core's order; `_ring.cdef.h` names the source of each."""

    ARCH = 0
    SYSCALL = 1
    SUCCESS = 2
    EXIT = 3
    A0 = 4
    A1 = 5
    A2 = 6
    A3 = 7
    ITEMS = 8
    PPID = 9
    PID = 10
    AUID = 11
    UID = 12
    GID = 13
    EUID = 14
    SUID = 15
    FSUID = 16
    EGID = 17
    SGID = 18
    FSGID = 19
    TTY = 20
    SES = 21
    COMM = 22
    EXE = 23
    SUBJ = 24
    KEY = 25
    CWD = 26
    PATH_NAME = 27
    PATH_INODE = 28
    PATH_DEV = 29
    PATH_MODE = 30
    PATH_OUID = 31
    PATH_OGID = 32
    PATH_RDEV = 33
    PATH_OBJ = 34
    PATH_NAMETYPE = 35
    PROCTITLE = 36
    NODE = 37
    ARGC = 38
    ARGS = 39
    COMMAND_LINE = 40
    SOCKET_FAMILY = 41
    SOCKET_IP = 42
    SOCKET_PORT = 43
    SOCKET_PATH = 44
    CAPABILITIES = 45
    ACCT = 46
    TERMINAL = 47
    HOSTNAME = 48
    ADDR = 49
    GRANTORS = 50
    RESULT = 51
    UNIT = 52
    PARENT_NAME = 53
    PARENT_EXECUTABLE = 54
    PARENT_ARGS = 55
    PARENT_COMMAND_LINE = 56
    PARENT_ENTITY_ID = 57
    ENTITY_ID = 58
    LEADER_EXECUTABLE = 59
    LEADER_ARGS = 60
    LEADER_TYPE = 61
    PATHS = 62


ACTOR = (Field.EXE, Field.UID, Field.AUID, Field.SES)
"""Fields that distinguish actors under one pid: after an exec, another user or session, a reused pid."""


class EventEnd(enum.IntEnum):
    """Which record ends an event that arrives as datagrams. In log text it is always PROCTITLE."""

    EOE = 0
    """The kernel's end-of-event record."""
    PROCTITLE = 1
    """The last record before EOE."""
    PATHS = 2
    """As many PATH records as SYSCALL announces, if the kernel filters out all later records."""


class Op(enum.IntEnum):
    """Comparison of a field with the operands of a test."""

    TEXT = 0
    """The bytes are equal."""
    LIKE = 1
    """Wildcards, ignoring ASCII case: `*` matches any run of bytes, `?` any byte."""
    NUMBER = 2
    """`value & mask == number`, in the base the kernel prints the field in."""
    PRESENT = 3
    """The field is present. No operands; negated it holds for an absent field."""


@dataclass(frozen=True, slots=True)
class MaskedNumber:
    """A number to compare with the value's bits of *mask* (64 bits)."""

    number: int
    mask: int = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class ArchText:
    """A text to compare with in events whose SYSCALL arch is *arch* in the bits of *mask*."""

    text: bytes
    arch: int
    mask: int


@dataclass(frozen=True, slots=True)
class FieldTest:
    """A comparison: holds if any operand fits, or none if *negated*.

    For an absent field it never holds, except a negated `Op.PRESENT`.
    """

    field: Field
    op: Op
    operands: tuple[bytes | ArchText | MaskedNumber, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A system call as a SYSCALL record names it: `arch` and `syscall`."""

    arch: int
    syscall: int


@dataclass(frozen=True, slots=True)
class RuleException:
    """An exception: events that are not a match of a rule, although the rule's tests hold.

    Attributes:
        tests: all must hold.
        until_ms: it applies to events stamped earlier, in ms since 1970 UTC; None: to all.
    """

    tests: tuple[FieldTest, ...]
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """Which events match, and how many matches of one key within which time complete a hit.

    Attributes:
        calls: the system calls it applies to; empty: all.
        tests: all must hold.
        keys: up to two fields; a window belongs to their values. An event without one of them does not
            count; a missing NODE is this host.
        count: matches that complete a hit, 1 to 64. At 1 every match is a hit.
        span_ms: maximum time from the first to the last of them, 1 to 86,400,000 ms of event time.
        merge_ms: 0: every completed window is a hit. Otherwise an undrained hit absorbs the windows of
            its key that complete within this time after the last (`Hit.more`), as long as the stamps of
            completions, of any key, stay within one second.
        exceptions: an event that fits one of them is not a match; the first that fits counts it.
    """

    calls: tuple[Call, ...]
    tests: tuple[FieldTest, ...]
    keys: tuple[Field, ...]
    count: int
    span_ms: int
    merge_ms: int = 0
    exceptions: tuple[RuleException, ...] = ()


RuleTable = tuple[Rule, ...]

NO_END = 0xFFFF_FFFF_FFFF_FFFF
"""`as_exception.until_ms` of an exception without an end."""


@dataclass(slots=True)
class Layout:
    """A rule table as the arrays of `as_rules`; rows use the member names of `_ring.cdef.h`."""

    rules: list[dict[str, int | list[int]]] = field(default_factory=list)
    calls: list[dict[str, int]] = field(default_factory=list)
    tests: list[dict[str, int]] = field(default_factory=list)
    operands: list[dict[str, int]] = field(default_factory=list)
    exceptions: list[dict[str, int]] = field(default_factory=list)
    text: bytearray = field(default_factory=bytearray)
    arches: list[int] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """The lengths of the arrays, by their names in `as_rules`."""
        return {
            "rule_count": len(self.rules),
            "call_count": len(self.calls),
            "test_count": len(self.tests),
            "operand_count": len(self.operands),
            "exception_count": len(self.exceptions),
            "text_len": len(self.text),
            "arch_count": len(self.arches),
        }


def lay_out(rules: RuleTable, arches: Iterable[int] = ()) -> Layout:
    """Return the core's arrays for these rules, in their order.

    Args:
        rules: the rules.
        arches: architectures with known system calls: records of others are counted. None: not counted.
    """
    out = Layout(arches=[*arches])
    for rule in rules:
        out.rules.append(
            {
                "first_call": len(out.calls),
                "calls": len(rule.calls),
                "first_test": len(out.tests),
                "tests": len(rule.tests),
                "keys": list(rule.keys),
                "key_count": len(rule.keys),
                "count": rule.count,
                "span_ms": rule.span_ms,
                "merge_ms": rule.merge_ms,
                "first_exception": len(out.exceptions),
                "exceptions": len(rule.exceptions),
            }
        )
        out.calls += [{"arch": call.arch, "syscall": call.syscall} for call in rule.calls]
        _lay_out_tests(out, rule.tests)
        for exception in rule.exceptions:
            until_ms = NO_END if exception.until_ms is None else exception.until_ms
            out.exceptions.append(
                {"until_ms": until_ms, "first_test": len(out.tests), "tests": len(exception.tests)}
            )
            _lay_out_tests(out, exception.tests)
    return out


def _lay_out_tests(out: Layout, tests: tuple[FieldTest, ...]) -> None:
    for test in tests:
        out.tests.append(
            {
                "field": test.field,
                "op": test.op,
                "negated": int(test.negated),
                "first_operand": len(out.operands),
                "operands": len(test.operands),
            }
        )
        for operand in test.operands:
            if isinstance(operand, MaskedNumber):
                out.operands.append({"number": operand.number, "mask": operand.mask})
                continue
            text = operand.text if isinstance(operand, ArchText) else operand
            row = {"at": len(out.text), "len": len(text)}
            if isinstance(operand, ArchText):
                row |= {"number": operand.arch, "mask": operand.mask}
            out.operands.append(row)
            out.text += text
