"""Decisions over predicates: what remains of an expression for one class of events.

    expression ─► decision of a class ─► program, anchors

A decision is a constant, a predicate with its wanted result, or several decisions of which all or some must
hold. It has no negation: `inverse` turns every part of it round. Rule: decisions are made with `all_of` and
`some_of` only, so a constant never stands inside another decision, and equal parts stand there once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from auditsense.core.rule_table import FALSE, TRUE, ArchText, Field, Node, Op, Predicate, Program

if TYPE_CHECKING:
    from collections.abc import Iterable


class Literal(NamedTuple):
    """A predicate, and the result it must have."""

    predicate: Predicate
    wanted: bool = True


class All(NamedTuple):
    """All terms hold; at least two."""

    terms: tuple[Decision, ...]


class Some(NamedTuple):
    """One of the terms holds; at least two."""

    terms: tuple[Decision, ...]


Decision: TypeAlias = bool | Literal | All | Some


def all_of(decisions: Iterable[Decision]) -> Decision:
    """Return the decision that all of these hold.

    >>> all_of([True, True]), all_of([]), all_of([True, False])
    (True, True, False)
    """
    return _joined(decisions, All, of_none=True)


def some_of(decisions: Iterable[Decision]) -> Decision:
    """Return the decision that one of these holds.

    >>> some_of([False, False]), some_of([]), some_of([True, False])
    (False, False, True)
    """
    return _joined(decisions, Some, of_none=False)


def _joined(decisions: Iterable[Decision], kind: type[All | Some], *, of_none: bool) -> Decision:
    """Join decisions as terms of this kind; *of_none* is the decision of no terms, and changes no other."""
    terms: dict[Decision, None] = {}
    for decision in decisions:
        if decision is (not of_none):
            return decision
        if isinstance(decision, kind):
            terms |= dict.fromkeys(decision.terms)
        elif decision is not of_none:
            terms[decision] = None
    if not terms:
        return of_none
    return next(iter(terms)) if len(terms) == 1 else kind(tuple(terms))


def inverse(decision: Decision) -> Decision:
    """Return the decision that holds where this one does not."""
    match decision:
        case bool():
            return not decision
        case Literal(predicate, wanted):
            return Literal(predicate, not wanted)
        case All(terms):
            return some_of(inverse(term) for term in terms)
        case Some(terms):
            return all_of(inverse(term) for term in terms)


def predicates_of(decision: Decision) -> Iterable[Predicate]:
    """Return the predicates of a decision; one that stands there twice comes twice."""
    match decision:
        case bool():
            pass
        case Literal(predicate, _):
            yield predicate
        case All(terms) | Some(terms):
            for term in terms:
                yield from predicates_of(term)


# --- order of evaluation ---------------------------------------------------------------

# Relative cost of one comparison, by operator: numbers, equal texts, patterns, regular expressions.
_COSTS: Final = {
    Op.NUMBER: 1.0,
    Op.PRESENT: 1.0,
    Op.LESS: 1.0,
    Op.AT_MOST: 1.0,
    Op.GREATER: 1.0,
    Op.AT_LEAST: 1.0,
    Op.TEXT: 1.0,
    Op.LENGTH: 3.0,
    Op.NETWORK: 4.0,
    Op.LIKE: 6.0,
    Op.REGEX: 30.0,
}
# Fields with several or with long values.
_FIELD_COSTS: Final = {
    Field.ARGS: 4.0,
    Field.PARENT_ARGS: 4.0,
    Field.LEADER_ARGS: 4.0,
    Field.COMMAND_LINE: 8.0,
    Field.PARENT_COMMAND_LINE: 8.0,
    Field.PATHS: 2.0,
    Field.PATH_NAMETYPE: 2.0,
    Field.CAPABILITIES: 4.0,
}
# How often a value of a field is a certain one, where that is more often than with names and paths.
_LIKELY: Final = {
    Field.SUCCESS: 0.5,
    Field.RESULT: 0.5,
    Field.UID: 0.4,
    Field.EUID: 0.4,
    Field.AUID: 0.4,
    Field.GID: 0.4,
    Field.SOCKET_FAMILY: 0.3,
    Field.ARGC: 0.2,
    Field.PPID: 0.1,
    Field.CWD: 0.1,
}
_RARELY: Final = {Op.TEXT: 0.01, Op.REGEX: 0.05, Op.LIKE: 0.03, Op.PRESENT: 0.9, Op.NUMBER: 0.05}


class _Estimate(NamedTuple):
    """Expected cost of a decision, and how often it holds."""

    cost: float
    holds: float


def _estimate_predicate(predicate: Predicate) -> _Estimate:
    values = max(len(predicate.operands), 1)
    single = _LIKELY.get(predicate.field, 0.0)
    holds = max(single, _RARELY.get(predicate.op, 0.3)) if predicate.op is not Op.PRESENT else 0.9
    cost = _COSTS[predicate.op] * _FIELD_COSTS.get(predicate.field, 1.0)
    if predicate.op in {Op.LIKE, Op.REGEX, Op.NETWORK}:
        cost *= values
    else:
        cost *= 1 + values / 16
    return _Estimate(cost, min(0.9, holds * values))


def _estimate(decision: Decision) -> _Estimate:
    match decision:
        case bool():
            return _Estimate(0.0, float(decision))
        case Literal(predicate, wanted):
            estimate = _estimate_predicate(predicate)
            return estimate if wanted else _Estimate(estimate.cost, 1 - estimate.holds)
        case All(terms):
            cost, holds = 0.0, 1.0
            for part in sorted((_estimate(term) for term in terms), key=_cost_to_refute):
                cost += holds * part.cost
                holds *= part.holds
            return _Estimate(cost, holds)
        case Some(terms):
            cost, fails = 0.0, 1.0
            for part in sorted((_estimate(term) for term in terms), key=_cost_to_prove):
                cost += fails * part.cost
                fails *= 1 - part.holds
            return _Estimate(cost, 1 - fails)


def _cost_to_refute(estimate: _Estimate) -> float:
    return estimate.cost / (1.0001 - estimate.holds)


def _cost_to_prove(estimate: _Estimate) -> float:
    return estimate.cost / (estimate.holds + 0.0001)


# --- programs --------------------------------------------------------------------------


def program_of(decision: Decision) -> Program:
    """Return the program of a decision that is not False, with the cheapest and most decisive parts first.

    It has at most one node a predicate of the decision.
    """
    if isinstance(decision, bool):
        if not decision:
            raise ValueError("a decision that never holds has no program")
        return ()
    builder = _ProgramBuilder()
    return builder.program(builder.add(decision, TRUE, FALSE))


class _ProgramBuilder:
    """Nodes from the last to the first: a node comes after those that it leads to."""

    def __init__(self) -> None:
        self._nodes: list[tuple[Predicate, int, int]] = []
        self._known: dict[tuple[Predicate, int, int], int] = {}

    def add(self, decision: Decision, yes: int, no: int) -> int:
        """Return the node to begin with, so that the decision leads to *yes* or *no*."""
        match decision:
            case bool():
                return yes if decision else no
            case Literal(predicate, wanted):
                node = (predicate, yes, no) if wanted else (predicate, no, yes)
                if node not in self._known:
                    self._known[node] = len(self._nodes)
                    self._nodes.append(node)
                return self._known[node]
            case All(terms):
                ordered = sorted(terms, key=lambda term: _cost_to_refute(_estimate(term)))
                for term in reversed(ordered):
                    yes = self.add(term, yes, no)
                return yes
            case Some(terms):
                ordered = sorted(terms, key=lambda term: _cost_to_prove(_estimate(term)))
                for term in reversed(ordered):
                    no = self.add(term, yes, no)
                return no

    def program(self, start: int) -> Program:
        """Return the nodes that *start* leads to, from it on."""
        used = {start}
        for index in range(start, -1, -1):
            if index in used:
                used.update(self._nodes[index][1:])
        used -= {TRUE, FALSE}
        places = {index: place for place, index in enumerate(sorted(used, reverse=True))}
        places |= {TRUE: TRUE, FALSE: FALSE}
        return tuple(
            Node(predicate, places[yes], places[no])
            for predicate, yes, no in (self._nodes[index] for index in places if index not in {TRUE, FALSE})
        )


# --- anchors ---------------------------------------------------------------------------

# Comparing with exact texts of these fields takes one look-up for all filters.
_INDEXED: Final = frozenset(
    {
        Field.COMM,
        Field.EXE,
        Field.PROCTITLE,
        Field.ARGS,
        Field.PATHS,
        Field.PATH_NAME,
        Field.PARENT_NAME,
        Field.PARENT_EXECUTABLE,
        Field.SYSCALL,
    }
)
_COST_OF_CANDIDATE: Final = 100.0


def anchors_of(decision: Decision) -> tuple[Predicate, ...]:
    """Return the cheapest predicates one of which holds wherever the decision does; empty: there are none."""
    return tuple(_necessary(decision) or ())


def _necessary(decision: Decision) -> dict[Predicate, None] | None:
    match decision:
        case Literal(predicate, True):
            return {predicate: None}
        case All(terms):
            sets = [needed for term in terms if (needed := _necessary(term)) is not None]
            return min(sets, key=_cost_of_anchors, default=None)
        case Some(terms):
            united: dict[Predicate, None] = {}
            for term in terms:
                needed = _necessary(term)
                if needed is None:
                    return None
                united |= needed
            return united
        case _:
            return None


def _cost_of_anchors(anchors: Iterable[Predicate]) -> float:
    return sum(_cost_of_anchor(predicate) for predicate in anchors)


def _cost_of_anchor(predicate: Predicate) -> float:
    estimate = _estimate_predicate(predicate)
    exact = predicate.op is Op.TEXT and not any(isinstance(value, ArchText) for value in predicate.operands)
    cost = 0.0 if exact and predicate.field in _INDEXED else estimate.cost
    return cost + _COST_OF_CANDIDATE * estimate.holds
