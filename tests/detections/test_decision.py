"""Decisions: what they mean, as programs and by their anchors."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense.core.rule_table import FALSE, TRUE, Field, Op, Predicate, Program
from auditsense.detections.decision import (
    All,
    Decision,
    Literal,
    Some,
    all_of,
    anchors_of,
    inverse,
    program_of,
    some_of,
)

PREDICATES = [
    Predicate(Field.COMM, Op.TEXT, (b"a",)),
    Predicate(Field.UID, Op.TEXT, (b"0",)),
    Predicate(Field.ARGS, Op.LIKE, (b"*x*",)),
    Predicate(Field.EXE, Op.REGEX, (b"",)),
    Predicate(Field.PATHS, Op.PRESENT),
]
COMM, UID, ARGS, EXE, PATHS = PREDICATES
Facts = dict[Predicate, bool]
EVERY_RESULT = [
    dict(zip(PREDICATES, row, strict=True)) for row in product([False, True], repeat=len(PREDICATES))
]

decisions = st.recursive(
    st.builds(Literal, st.sampled_from(PREDICATES), st.booleans()) | st.booleans(),
    lambda parts: st.lists(parts, max_size=4).map(all_of) | st.lists(parts, max_size=4).map(some_of),
    max_leaves=12,
)


def value_of(decision: Decision, facts: Facts) -> bool:
    match decision:
        case bool():
            return decision
        case Literal(predicate, wanted):
            return facts[predicate] is wanted
        case All(terms):
            return all(value_of(term, facts) for term in terms)
        case Some(terms):
            return any(value_of(term, facts) for term in terms)


def run(program: Program, facts: Facts) -> bool:
    at = 0 if program else TRUE
    while at not in {TRUE, FALSE}:
        node = program[at]
        assert min(node.yes, node.no) > at
        at = node.yes if facts[node.predicate] else node.no
    return at == TRUE


@given(parts=st.lists(decisions, max_size=4))
def test_combinations_hold_as_their_parts_do(parts: list[Decision]) -> None:
    for facts in EVERY_RESULT:
        values = [value_of(part, facts) for part in parts]
        assert value_of(all_of(parts), facts) == all(values)
        assert value_of(some_of(parts), facts) == any(values)


@given(decision=decisions)
def test_inverse_holds_where_the_decision_does_not(decision: Decision) -> None:
    assert all(value_of(inverse(decision), facts) is not value_of(decision, facts) for facts in EVERY_RESULT)


@given(decision=decisions)
def test_program_decides_as_the_decision(decision: Decision) -> None:
    if decision is False:
        with pytest.raises(ValueError, match="never holds"):
            program_of(decision)
        return
    program = program_of(decision)
    assert all(run(program, facts) == value_of(decision, facts) for facts in EVERY_RESULT)


@given(decision=decisions)
def test_an_anchor_holds_wherever_the_decision_does(decision: Decision) -> None:
    anchors = anchors_of(decision)
    for facts in EVERY_RESULT:
        if anchors and value_of(decision, facts):
            assert any(facts[predicate] for predicate in anchors)


def test_constants_never_stand_inside() -> None:
    comm = Literal(COMM)
    assert all_of([True, comm]) == some_of([False, comm, comm]) == comm
    assert all_of([comm, False]) is False
    assert some_of([comm, True]) is True


def test_cheap_and_decisive_comparisons_come_first() -> None:
    program = program_of(all_of([Literal(EXE), Literal(ARGS), Literal(COMM)]))
    assert [node.predicate for node in program] == [COMM, ARGS, EXE]


def test_exclusions_come_last() -> None:
    program = program_of(all_of([Literal(UID, wanted=False), Literal(COMM)]))
    assert [node.predicate for node in program] == [COMM, UID]


def test_program_has_a_node_for_each_comparison() -> None:
    program = program_of(all_of([some_of([Literal(COMM), Literal(UID)]), Literal(ARGS)]))
    assert len(program) == 3


def test_anchor_is_the_cheapest_necessary_comparison() -> None:
    decision = all_of([Literal(UID), Literal(ARGS), Literal(COMM)])
    assert anchors_of(decision) == (COMM,)
    assert anchors_of(some_of([decision, Literal(EXE)])) == (COMM, EXE)


def test_decision_with_a_negated_branch_has_no_anchor() -> None:
    assert anchors_of(some_of([Literal(COMM), Literal(UID, wanted=False)])) == ()
    assert anchors_of(all_of([])) == ()
