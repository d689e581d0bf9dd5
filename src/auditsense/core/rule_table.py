"""The rule table: what the core looks for, as plain values.

A detection compiles to rules of this form (`detections.compile`), and the ring
copies them into the core once, at creation. Bounds are the core's: 64 rules,
65,536 entries of each kind.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Field(enum.IntEnum):
    """What a record can tell, in the core's order; the comment in `_ring.cdef.h` names each source."""

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


ACTOR = (Field.EXE, Field.UID, Field.AUID, Field.SES)
"""What tells two actors under one pid apart: an exec, another user, another session, a reused pid."""


class EventEnd(enum.IntEnum):
    """What tells that all records of an event have come as datagrams. In log text it is always PROCTITLE."""

    EOE = 0
    """The record that says so."""
    PROCTITLE = 1
    """PROCTITLE, the last before it."""
    PATHS = 2
    """As many PATH records as SYSCALL announces, for those who are sent none of the later ones."""


class Op(enum.IntEnum):
    """How a field is compared with the operands of a test."""

    TEXT = 0
    """The bytes are equal."""
    LIKE = 1
    """Equal without regard to ASCII case; `*` is any run of bytes, `?` any one."""
    NUMBER = 2
    """`value & mask == number`, in the base the kernel prints the field in."""
    PRESENT = 3
    """The field is there. It has no operands; negated it holds for an absent field."""


@dataclass(frozen=True, slots=True)
class Masked:
    """A number to compare with, after the value was cut to the bits of *mask* (64 bits)."""

    number: int
    mask: int = 0xFFFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class OnArch:
    """A text to compare with in events whose architecture is *arch* in the bits of *mask* (SYSCALL arch)."""

    text: bytes
    arch: int
    mask: int


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison: it holds when any operand fits, or none if *negated*.

    For an absent field it never holds, but for a negated `Op.PRESENT`.
    """

    field: Field
    op: Op
    operands: tuple[bytes | OnArch | Masked, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A system call as a SYSCALL record names it: `arch` and `syscall`."""

    arch: int
    syscall: int


@dataclass(frozen=True, slots=True)
class Exempting:
    """What is no match of a rule, although the rule's tests hold.

    Attributes:
        tests: all must hold.
        until_ms: it takes events stamped before, in ms since 1970 UTC; None: all.
    """

    tests: tuple[Test, ...]
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What makes a match, and how many matches of one key in what time make a hit.

    Attributes:
        calls: the system calls looked at; empty: all.
        tests: all must hold.
        keys: up to two fields that name what a window belongs to. An event without one of them does
            not count; a missing NODE is this host.
        count: matches that complete a hit, 1 to 64. At 1 every match is a hit.
        span_ms: from the first to the last of them at most, 1 to 86,400,000 ms of event time.
        merge_ms: 0: every completed window is a hit. Else a hit that waits to be drained takes in
            the windows of its key that complete at most so many ms after the last (`Hit.more`), as long
            as the stamps of completions, of any key, stay within one second.
        exceptions: an event that any of them takes is no match; the first that fits counts it.
    """

    calls: tuple[Call, ...]
    tests: tuple[Test, ...]
    keys: tuple[Field, ...]
    count: int
    span_ms: int
    merge_ms: int = 0
    exceptions: tuple[Exempting, ...] = ()


RuleTable = tuple[Rule, ...]

FOR_EVER = 0xFFFF_FFFF_FFFF_FFFF
"""`as_exception.until_ms` of an exception that does not end."""


@dataclass(slots=True)
class Layout:
    """A rule table as the arrays of `as_rules`: each row has the names of its structure in `_ring.cdef.h`."""

    rules: list[dict[str, int | list[int]]] = field(default_factory=list)
    calls: list[dict[str, int]] = field(default_factory=list)
    tests: list[dict[str, int]] = field(default_factory=list)
    operands: list[dict[str, int]] = field(default_factory=list)
    exceptions: list[dict[str, int]] = field(default_factory=list)
    text: bytearray = field(default_factory=bytearray)
    arches: list[int] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """The lengths of the arrays, as `as_rules` names them."""
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
    """Return the arrays that the core takes for these rules, in their order.

    Args:
        rules: the rules.
        arches: whose system calls are known: records of others are counted. None: they are not.
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
        for one in rule.exceptions:
            until_ms = FOR_EVER if one.until_ms is None else one.until_ms
            out.exceptions.append(
                {"until_ms": until_ms, "first_test": len(out.tests), "tests": len(one.tests)}
            )
            _lay_out_tests(out, one.tests)
    return out


def _lay_out_tests(out: Layout, tests: tuple[Test, ...]) -> None:
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
            if isinstance(operand, Masked):
                out.operands.append({"number": operand.number, "mask": operand.mask})
                continue
            text = operand.text if isinstance(operand, OnArch) else operand
            row = {"at": len(out.text), "len": len(text)}
            if isinstance(operand, OnArch):
                row |= {"number": operand.arch, "mask": operand.mask}
            out.operands.append(row)
            out.text += text
