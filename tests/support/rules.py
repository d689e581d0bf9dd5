"""Rules of one filter, for tests of the core: calls, and comparisons that must all hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditsense.core.rule_table import (
    ArchText,
    Field,
    MaskedNumber,
    Network,
    Op,
    Predicate,
    Program,
    Rule,
    RuleException,
    RuleKind,
    RuleTable,
    Selection,
    conjunction,
    select,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

Call = tuple[int, int]
"""Arch and number."""


@dataclass(frozen=True, slots=True)
class FieldTest:
    """A comparison that an absent field fails, negated or not; except a negated `Op.PRESENT`."""

    field: Field
    op: Op
    operands: tuple[bytes | ArchText | MaskedNumber | Network, ...] = ()
    negated: bool = False
    fold_case: bool = False
    length_op: Op | None = None

    @property
    def steps(self) -> list[tuple[Predicate, bool]]:
        """The predicates that it is made of, with the results that it wants."""
        fold = self.fold_case or self.op is Op.LIKE
        predicate = Predicate(self.field, self.op, self.operands, fold_case=fold, length_op=self.length_op)
        if not self.negated:
            return [(predicate, True)]
        if self.op is Op.PRESENT:
            return [(predicate, False)]
        numeric = self.op is Op.NUMBER or self.op >= Op.LESS
        readable = Predicate(self.field, Op.NUMBER, (MaskedNumber(0, 0),))
        return [(readable if numeric else Predicate(self.field, Op.PRESENT), True), (predicate, False)]


def program(tests: Iterable[FieldTest]) -> Program:
    """Return a program that holds if all tests do."""
    return conjunction(step for test in tests for step in test.steps)


@dataclass(frozen=True, slots=True)
class SimpleException:
    """Events that all tests hold for are no match."""

    tests: tuple[FieldTest, ...]
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class SimpleRule:
    """Matches are the events of these calls (none: of any) that all tests hold for."""

    calls: tuple[Call, ...] = ()
    tests: tuple[FieldTest, ...] = ()
    keys: tuple[Field, ...] = ()
    count: int = 1
    span_ms: int = 1
    merge_ms: int = 0
    exceptions: tuple[SimpleException, ...] = ()

    @property
    def selection(self) -> Selection:
        """As the core has it."""
        rule = Rule(
            RuleKind.EVENT if self.count == 1 else RuleKind.RUNS,
            count=self.count,
            span_ms=self.span_ms,
            merge_ms=self.merge_ms,
            exceptions=tuple(RuleException(program(one.tests), one.until_ms) for one in self.exceptions),
        )
        return Selection(rule, self.calls or None, program(self.tests), self.keys)


def table(rules: Iterable[SimpleRule]) -> RuleTable:
    """Return the table of these rules."""
    return select(rule.selection for rule in rules)
