"""The parser returns the query that a text was made from."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from auditsense.detections.eql.parser import parse
from auditsense.detections.eql.printer import eql_of
from auditsense.detections.expression import (
    And,
    Constant,
    Expression,
    KeyField,
    Not,
    Operator,
    Or,
    Query,
    QueryKind,
    Step,
    Test,
)
from auditsense.detections.query_fields import NAMES, NUMBERS

_texts = st.text(st.characters(codec="utf-8"), max_size=8)
_values = st.lists(_texts, min_size=1, max_size=3).map(tuple)
_names = st.sampled_from(sorted(NAMES))
_text_names = st.sampled_from(sorted(NAMES - NUMBERS))
_numbers = st.integers(-(2**63), 2**63 - 1)
_one = st.tuples(_numbers)
_order = st.sampled_from([Operator.LESS, Operator.AT_MOST, Operator.GREATER, Operator.AT_LEAST])
_negatable = st.one_of(
    st.builds(Test, _text_names, st.just(Operator.EQUAL), _values, st.booleans()),
    st.builds(
        Test,
        st.sampled_from(sorted(NUMBERS)),
        st.just(Operator.EQUAL),
        st.lists(_numbers, min_size=1, max_size=3).map(tuple),
    ),
    st.builds(Test, _names, st.just(Operator.WILDCARD), _values, st.booleans()),
    st.builds(Test, _names, st.just(Operator.REGEX), st.just(("a|b",)), st.booleans()),
    st.builds(Test, _names, st.just(Operator.NETWORK), st.just(("10.0.0.0/8", "::1"))),
    st.builds(Test, _names, st.just(Operator.PRESENT)),
    st.builds(Test, _names, st.just(Operator.LENGTH), _one, length_operator=st.just(Operator.EQUAL)),
)
_leaves = st.one_of(
    _negatable,
    st.builds(Not, _negatable),
    st.builds(Test, _names, _order, _one),
    st.builds(Test, _names, st.just(Operator.LENGTH), _one, length_operator=_order),
    st.builds(Constant, st.booleans()),
)


def _all_of(terms: list[Expression]) -> Expression:
    return And(tuple(inner for term in terms for inner in (term.terms if isinstance(term, And) else (term,))))


def _any_of(terms: list[Expression]) -> Expression:
    return Or(tuple(inner for term in terms for inner in (term.terms if isinstance(term, Or) else (term,))))


_trees = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(_all_of),
        st.lists(inner, min_size=2, max_size=3).map(_any_of),
    ),
    max_leaves=12,
)
_keys = st.builds(KeyField, _names, st.booleans())
_limits = st.none() | st.integers(1, 65_535)


@st.composite
def _queries(draw: st.DrawFn) -> Query:
    kind = draw(st.sampled_from(QueryKind))
    categories = st.none() | st.text(min_size=1, max_size=8)
    if kind is QueryKind.EVENT:
        return Query(kind, (Step(draw(categories), draw(_trees)),), limit=draw(_limits))
    by = draw(st.lists(_keys, min_size=1, max_size=2).map(tuple))
    number = draw(st.integers(0, 2))
    own = st.lists(_keys, min_size=number, max_size=number).map(tuple)
    runs = st.integers(1, 40) if kind is QueryKind.SEQUENCE else st.just(1)
    steps = tuple(
        Step(draw(categories), draw(_trees), draw(own), draw(runs)) for _ in range(draw(st.integers(2, 3)))
    )
    if sum(step.runs for step in steps) > 101:
        steps = tuple(Step(step.category, step.where, step.by) for step in steps)
    if kind is QueryKind.SAMPLE:
        return Query(kind, steps, by, limit=draw(_limits))
    until = Step(draw(categories), draw(_trees), draw(own)) if draw(st.booleans()) else None
    return Query(kind, steps, by, draw(st.integers(1, 604_800_000)), until, draw(_limits))


@given(_queries())
def test_printed_query_is_read_back(query: Query) -> None:
    assert parse(eql_of(query)) == query


_Event = dict[str, tuple[str | int, ...]]


def _holds(tree: Expression, event: _Event) -> bool:
    """Decide a tree of EQUAL and of order by rules 1 and 2 of `expression`."""
    match tree:
        case Test(name, operator, (limit, *_) as values):
            found = event.get(name, ())
            if operator is Operator.LESS:
                result = any(int(value) < int(limit) for value in found)
            elif operator is Operator.AT_LEAST:
                result = any(int(value) >= int(limit) for value in found)
            else:
                result = any(value in values for value in found)
        case And(terms):
            result = all(_holds(term, event) for term in terms)
        case Or(terms):
            result = any(_holds(term, event) for term in terms)
        case Not(term):
            result = not _holds(term, event)
        case _:
            raise AssertionError(tree)
    return result


_written = st.recursive(
    st.one_of(
        st.builds(Test, st.just("process.name"), st.just(Operator.EQUAL), st.sampled_from([("a",), ("b",)])),
        st.builds(Test, st.just("process.pid"), st.just(Operator.LESS), st.just((3,))),
    ),
    lambda inner: st.one_of(
        st.tuples(st.just("and"), inner, inner),
        st.tuples(st.just("or"), inner, inner),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=8,
)
_events = st.fixed_dictionaries(
    {},
    optional={
        "process.name": st.sampled_from([("a",), ("b",), ("a", "b")]),
        "process.pid": st.sampled_from([(2,), (4,)]),
    },
)


def _print(tree: object) -> str:
    match tree:
        case ("not", term):
            return f"not ({_print(term)})"
        case (word, left, right):
            return f"({_print(left)}) {word} ({_print(right)})"
        case Test(name, Operator.LESS, (value,)):
            return f"{name} < {value}"
        case Test(name, _, (value,)):
            return f'{name} == "{value}"'
    raise AssertionError(tree)


def _meant(tree: object, event: _Event) -> bool:
    match tree:
        case ("not", Test(name, Operator.LESS, values)):  # turned round: false without the field
            result = _holds(Test(name, Operator.AT_LEAST, values), event)
        case ("not", ("not", term)):
            result = _meant(term, event)
        case ("not", (word, left, right)):
            result = _meant(("or" if word == "and" else "and", ("not", left), ("not", right)), event)
        case ("not", term):
            result = not _meant(term, event)
        case (word, left, right):
            decide = all if word == "and" else any
            result = decide(_meant(term, event) for term in (left, right))
        case Test():
            result = _holds(tree, event)
        case _:
            raise AssertionError(tree)
    return result


@given(_written, _events)
def test_negation_is_pushed_to_the_comparisons(tree: object, event: _Event) -> None:
    """A negation anywhere gives what the language promises, also for an absent field."""
    (step,) = parse(f"process where {_print(tree)}").steps
    assert _holds(step.where, event) == _meant(tree, event)
