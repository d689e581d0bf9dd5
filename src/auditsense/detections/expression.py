"""Expression tree of a detection: the common form of TOML, EQL and later languages.

A front end (`toml_table`, `eql`) builds a tree, and the compiler makes a rule table from it.

Rule 1: a test of an absent field is false, and its negation true. A language in which an absent field fails
        a negated test as well writes `And((present, Not(test)))`.
Rule 2: a field with several values passes a test when any of them does.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

from auditsense._frozen import Frozen

LOOK_BACK_MS: Final = 540_000
"""Look-back of a query that names none: nine minutes."""


class Operator(enum.StrEnum):
    """Comparison of a test with a value of its field."""

    EQUAL = "equal"
    """It is one of the values: texts, or whole numbers for a field of numbers."""
    WILDCARD = "wildcard"
    """It fits one of the patterns: `*` is any run of characters, `?` any one."""
    REGEX = "regex"
    """It fits one of the regular expressions as a whole."""
    LESS = "less"
    """It is a number less than the only value."""
    AT_MOST = "at_most"
    """It is a number less than the only value, or equal."""
    GREATER = "greater"
    """It is a number greater than the only value."""
    AT_LEAST = "at_least"
    """It is a number greater than the only value, or equal."""
    MASKED = "masked"
    """It is one of the values as a number, cut to the bits of `Test.mask`."""
    NETWORK = "network"
    """It is an address inside one of the networks, `10.0.0.0/8`; one without a length is that address."""
    LENGTH = "length"
    """It has a number of characters that fits the values by `Test.length_operator`."""
    PRESENT = "present"
    """There is a value. The test has no values."""
    OPEN_FLAGS = "open_flags"
    """It is one of the values as the flags of open(2), by name or as the kernel prints them."""


OPPOSITE: Final = {
    Operator.LESS: Operator.AT_LEAST,
    Operator.AT_MOST: Operator.GREATER,
    Operator.GREATER: Operator.AT_MOST,
    Operator.AT_LEAST: Operator.LESS,
}
"""Comparison that holds for the other numbers; for an absent field both are false."""


@dataclass(slots=True, eq=False, repr=False)
class Test(Frozen):
    """One comparison of a field.

    Attributes:
        field: its ECS name.
        operator: how.
        values: any of them is enough. Texts for EQUAL, WILDCARD, REGEX, NETWORK and OPEN_FLAGS; whole numbers
            for LENGTH, MASKED, the four of order, and EQUAL of a field of numbers.
        fold_case: whether EQUAL, WILDCARD and REGEX ignore ASCII case.
        mask: bits that MASKED compares.
        length_operator: EQUAL or one of the four of order, for LENGTH; otherwise None.
        line: of the query, from 1, for messages; 0: unknown. It makes no difference to equality.
    """

    __test__ = False  # pytest collects classes of this name

    field: str
    operator: Operator
    values: tuple[str | int, ...] = ()
    fold_case: bool = False
    mask: int = 0xFFFF_FFFF_FFFF_FFFF
    length_operator: Operator | None = None
    line: int = 0

    def _compared(self) -> tuple[object, ...]:
        return (
            self.field,
            self.operator,
            self.values,
            self.fold_case,
            self.mask,
            self.length_operator,
        )


@dataclass(slots=True, eq=False, repr=False)
class And(Frozen):
    """All terms hold; with none it holds."""

    terms: tuple[Expression, ...]


@dataclass(slots=True, eq=False, repr=False)
class Or(Frozen):
    """One of the terms holds; with none it does not."""

    terms: tuple[Expression, ...]


@dataclass(slots=True, eq=False, repr=False)
class Not(Frozen):
    """The term does not hold."""

    term: Expression


@dataclass(slots=True, eq=False, repr=False)
class Constant(Frozen):
    """Holds always, or never."""

    value: bool


Expression: TypeAlias = Test | And | Or | Not | Constant


def tests_of(tree: Expression) -> Iterator[Test]:
    """Yield the tests of a tree from left to right."""
    match tree:
        case And(terms) | Or(terms):
            for term in terms:
                yield from tests_of(term)
        case Not(term):
            yield from tests_of(term)
        case Test():
            yield tree


@dataclass(slots=True, eq=False, repr=False)
class KeyField(Frozen):
    """A field whose equal values belong together.

    Attributes:
        name: its ECS name.
        optional: whether an absent field is a value like others; otherwise its event is ignored.
    """

    name: str
    optional: bool = False


@dataclass(slots=True, eq=False, repr=False)
class Step(Frozen):
    """One event of a query.

    Attributes:
        category: one that the event must have (`event.category`); None: any.
        where: what must hold of it.
        by: its own key fields, after those of the query.
        runs: how many such events in a row of the sequence, 1 to 100.
        line: of the query, from 1, for messages; 0: unknown. It makes no difference to equality.
    """

    category: str | None
    where: Expression
    by: tuple[KeyField, ...] = ()
    runs: int = 1
    line: int = 0

    def _compared(self) -> tuple[object, ...]:
        return self.category, self.where, self.by, self.runs


class QueryKind(enum.StrEnum):
    """Condition that completes a query."""

    EVENT = "event"
    """One event."""
    SEQUENCE = "sequence"
    """One event for each step, of one key and in this order, within `Query.maxspan_ms`."""
    SAMPLE = "sample"
    """One event for each step, of one key and in any order, within `Query.look_back_ms`."""


@dataclass(slots=True, eq=False, repr=False)
class Query(Frozen):
    """Events to look for.

    Attributes:
        kind: what completes it.
        steps: one for EVENT, otherwise at least two, counting `Step.runs`.
        by: key fields of every step.
        maxspan_ms: time from the first to the last event of a sequence, at most; None for the other kinds.
        until: an event that ends everything unfinished of its key; None: there is none.
        limit: most completions of one key within `look_back_ms`; None: no limit.
        look_back_ms: how long the events of a sample, and completions, are remembered.
    """

    kind: QueryKind
    steps: tuple[Step, ...]
    by: tuple[KeyField, ...] = ()
    maxspan_ms: int | None = None
    until: Step | None = None
    limit: int | None = None
    look_back_ms: int = LOOK_BACK_MS

    @property
    def all_steps(self) -> tuple[Step, ...]:
        """Its steps, and the one of *until*."""
        return (*self.steps, self.until) if self.until else self.steps
