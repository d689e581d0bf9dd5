"""A model of EQL: decides queries on the fields of events, one event after the other."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from auditsense.detections.expression import And, Constant, Not, Operator, Or, QueryKind, Test

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.detections.expression import Expression, KeyField, Query, Step
    from tests.support.audit_events import Fields

Key = tuple[object, ...]
_ORDER: Final = {
    Operator.LESS: lambda number, limit: number < limit,
    Operator.AT_MOST: lambda number, limit: number <= limit,
    Operator.GREATER: lambda number, limit: number > limit,
    Operator.AT_LEAST: lambda number, limit: number >= limit,
    Operator.EQUAL: lambda number, limit: number == limit,
}


def holds(tree: Expression, fields: Fields) -> bool:
    """Return whether a condition holds for an event."""
    match tree:
        case And(terms):
            return all(holds(term, fields) for term in terms)
        case Or(terms):
            return any(holds(term, fields) for term in terms)
        case Not(term):
            return not holds(term, fields)
        case Constant(value):
            return value
        case Test():
            values = fields.get(tree.field, ())
            return any(_fits(tree, value) for value in values[:1] if tree.operator is Operator.LENGTH) or any(
                _fits(tree, value) for value in values if tree.operator is not Operator.LENGTH
            )


def matches(step: Step, fields: Fields) -> bool:
    """Return whether an event is one of a step."""
    category = step.category is None or step.category in fields.get("event.category", ())
    return category and holds(step.where, fields)


def _fits(test: Test, value: str | int) -> bool:
    match test.operator:
        case Operator.PRESENT:
            return True
        case Operator.EQUAL if not test.fold_case:
            return value in test.values
        case Operator.NETWORK:
            return _inside(str(value), [str(network) for network in test.values])
        case Operator.LENGTH:
            return test.length_operator is not None and any(
                _ORDER[test.length_operator](len(str(value)), limit) for limit in test.values
            )
        case Operator.LESS | Operator.AT_MOST | Operator.GREATER | Operator.AT_LEAST:
            return isinstance(value, int) and _ORDER[test.operator](value, test.values[0])
        case _:
            flags = re.DOTALL | re.ASCII | (re.IGNORECASE if test.fold_case else 0)
            return any(
                re.fullmatch(_python_regex(test, str(text)), str(value), flags) for text in test.values
            )


def _python_regex(test: Test, text: str) -> str:
    if test.operator is Operator.REGEX:
        return text
    if test.operator is Operator.EQUAL:
        return re.escape(text)
    return "".join(".*" if part == "*" else "." if part == "?" else re.escape(part) for part in text)


def _inside(value: str, networks: list[str]) -> bool:
    try:
        address = ip_address(value)
    except ValueError:
        return False
    return any(address in ip_network(network, strict=False) for network in networks)


def count(query: Query, events: Sequence[tuple[int, Fields]]) -> int:
    """Return how often events complete a query.

    Args:
        query: it.
        events: stamp in ms and fields of each, in their order.
    """
    if query.kind is QueryKind.EVENT:
        reported: list[int] = []
        return sum(matches(query.steps[0], fields) and _report(query, reported, ms) for ms, fields in events)
    return _sequences(query, events) if query.kind is QueryKind.SEQUENCE else _samples(query, events)


def _key(keys: tuple[KeyField, ...], fields: Fields) -> Key | None:
    values = [fields.get(key.name) for key in keys]
    if any(value is None and not key.optional for key, value in zip(keys, values, strict=True)):
        return None
    return tuple(values)


def _report(query: Query, reported: list[int], ms: int) -> bool:
    """Return whether a completion is within the limit of its query, and remember it."""
    if query.limit is not None and sum(ms - at <= query.look_back_ms for at in reported) >= query.limit:
        return False
    reported.append(ms)
    return True


def _sequences(query: Query, events: Sequence[tuple[int, Fields]]) -> int:
    stages = [step for step in query.steps for _ in range(step.runs)]
    pending: dict[tuple[Key, int], int] = {}  # key and stage -> stamp of the first event
    completed: dict[Key, list[int]] = {}  # stamps by key
    for ms, fields in events:
        for stage in reversed(range(len(stages))):
            key = _key((*query.by, *stages[stage].by), fields)
            if key is None or not matches(stages[stage], fields):
                continue
            if stage == 0:
                pending[key, 0] = ms
                continue
            first = pending.pop((key, stage - 1), None)
            if first is None or ms - first > (query.maxspan_ms or 0):
                continue
            if stage == len(stages) - 1:
                _report(query, completed.setdefault(key, []), ms)
            else:
                pending[key, stage] = first
        until = query.until
        if until is not None and matches(until, fields):  # the event may have been a step before
            key = _key((*query.by, *until.by), fields)
            pending = {place: first for place, first in pending.items() if place[0] != key}
    return sum(map(len, completed.values()))


def _samples(query: Query, events: Sequence[tuple[int, Fields]]) -> int:
    """Return how often a key has an event for each step; once until none fitted for the look-back."""
    found: dict[Key, list[list[int]]] = {}  # key -> for each step the numbers of events
    last: dict[Key, int] = {}
    fired: set[Key] = set()
    reported: dict[Key, list[int]] = {}
    completed = 0
    for number, (ms, fields) in enumerate(events):
        for item, step in enumerate(query.steps):
            key = _key((*query.by, *step.by), fields)
            if key is None or not matches(step, fields):
                continue
            if ms - last.get(key, ms) > query.look_back_ms:
                fired.discard(key)
            last[key] = ms
            items = found.setdefault(key, [[] for _ in query.steps])
            items[item].append(number)
            found[key] = [[n for n in kept if ms - events[n][0] <= query.look_back_ms] for kept in items]
            if key not in fired and _distinct(found[key]):
                fired.add(key)
                completed += _report(query, reported.setdefault(key, []), ms)
    return completed


def _distinct(items: list[list[int]], used: frozenset[int] = frozenset()) -> bool:
    """Return whether each item can have a separate event."""
    if not items:
        return True
    return any(_distinct(items[1:], used | {number}) for number in items[0] if number not in used)
