"""Detections of our own TOML as queries: conditions to the expression tree that other languages have too.

A condition of an absent field fails, also if it is negated: `is_not` becomes "present, and not equal".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense._values import did_you_mean
from auditsense.core.rule_table import Field
from auditsense.detections.expression import (
    And,
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
from auditsense.detections.fields import FIELDS, FILE_SYSTEM, HOST, NUMBERS, SYSCALL_NAME, field
from auditsense.detections.model import AnyOf, Comparison, Condition, Detection, Window, conditions_of
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from auditsense.detections.model import Match, NoneOf

_MOST_KEYS: Final = 4
_REGISTERS: Final = frozenset({Field.A0, Field.A1, Field.A2, Field.A3})
MOST_MATCHES: Final = 64
MOST_SPAN_MS: Final = 86_400_000


def query_of(detection: Detection) -> Query:
    """Return what a detection looks for: its query, or that of its match and window.

    Raises:
        DetectionError: an unknown field or system call, or a bound of a window.
    """
    if detection.query is not None:
        return detection.query
    window = detection.window
    if HOST not in window.by or len(window.by) > _MOST_KEYS:
        raise DetectionError(
            f"{detection.id}: a window is by {HOST} and at most {_MOST_KEYS - 1} more fields"
        )
    if SYSCALL_NAME in window.by:
        raise DetectionError(f"{detection.id}: a window cannot be by {SYSCALL_NAME}")
    if not 1 <= window.matches <= MOST_MATCHES:
        raise DetectionError(f"{detection.id}: matches must be 1 to {MOST_MATCHES}")
    if not 1 <= window.within_ms <= MOST_SPAN_MS:
        raise DetectionError(f"{detection.id}: within_ms must be 1 to {MOST_SPAN_MS}")
    for name in window.by:
        field(name)
    file_systems_of(detection.match)
    single = window.matches == 1
    return Query(
        QueryKind.EVENT if single else QueryKind.SEQUENCE,
        (Step(None, expression_of(detection.match), runs=window.matches),),
        tuple(KeyField(name) for name in window.by),
        None if single else window.within_ms,
    )


def window_of(query: Query) -> Window:
    """Return what tells the completions of a query apart, as the window of its detection.

    Alerts need it: a process, or the keys of the last event as far as they are fields of records.
    """
    if query.kind is QueryKind.EVENT:
        return Window(("process.pid", HOST), 1, 1)
    keys = (key.name for key in (*query.by, *query.steps[-1].by))
    by = dict.fromkeys((*(name for name in keys if name in FIELDS), HOST))
    events = sum(step.runs for step in query.steps)
    return Window(tuple(by), events, query.maxspan_ms or query.look_back_ms)


def expression_of(match: Match) -> Expression:
    """Return the expression that all conditions and groups hold.

    Raises:
        DetectionError: an unknown field or system call, or values that the field cannot be compared with.
    """
    return And(tuple(_part(part) for part in match))


def file_systems_of(match: Match) -> frozenset[str]:
    """Return the types of file systems that a match is about; empty: it compares none.

    Raises:
        DetectionError: it compares them in a group, or otherwise than with types.
    """
    types: set[str] = set()
    for condition in conditions_of(match):
        if condition.field == FILE_SYSTEM:
            if condition not in match or condition.comparison is not Comparison.IS or condition.negated:
                raise DetectionError(f'{FILE_SYSTEM} can only be compared in match itself, as in: = "proc"')
            types |= {str(value) for value in condition.values}
    return frozenset(types)


def _part(part: Condition | AnyOf | NoneOf) -> Expression:
    if isinstance(part, Condition):
        return expression_of_condition(part)
    alternatives = Or(tuple(expression_of(table) for table in part.tables))
    return alternatives if isinstance(part, AnyOf) else Not(alternatives)


def expression_of_condition(condition: Condition) -> Expression:
    """Return one condition as an expression.

    Raises:
        DetectionError: an unknown field or system call, or values that the field cannot be compared with.
    """
    _check(condition)
    test = _test(condition)
    if not condition.negated:
        return test
    if condition.comparison is Comparison.EXISTS:
        return Not(test)
    if condition.comparison is Comparison.NUMBER:
        return And((Test(condition.field, Operator.MASKED, (0,), mask=0), Not(test)))
    return And((Test(condition.field, Operator.PRESENT), Not(test)))


def _check(condition: Condition) -> None:
    """Raise for values that cannot be compared with: code can give them, a file cannot."""
    if condition.field == SYSCALL_NAME:
        _check_calls(condition)
        return
    # A string is a sequence of strings: without this, one would be compared with its letters.
    values: object = condition.values
    if condition.comparison is Comparison.EXISTS:
        if values != ():
            raise DetectionError(f"{condition.field}: exists has no values")
        return
    if not isinstance(values, tuple) or not values:
        raise DetectionError(
            f'{condition.field}: values must be a tuple with one or more elements, such as ("/proc",)'
        )
    number = condition.comparison is Comparison.NUMBER
    for value in condition.values:
        if isinstance(value, bool) or isinstance(value, int) is not number:
            kind = "whole numbers" if number else "strings"
            raise DetectionError(
                f"{condition.field}: {condition.comparison} compares with {kind}, not {value!r}"
            )


def _check_calls(condition: Condition) -> None:
    if condition.comparison is not Comparison.IS or condition.negated:
        raise DetectionError(f'{SYSCALL_NAME} can only be compared with names, as in: = "openat"')
    for name in condition.values:
        if not syscalls.calls(str(name)):
            hint = did_you_mean(str(name), sorted(syscalls.all_names()))
            raise DetectionError(f"no architecture has a system call {name!r}{hint}")


def _test(condition: Condition) -> Test:
    name, values = condition.field, condition.values
    if name in {SYSCALL_NAME, FILE_SYSTEM}:
        return Test(name, Operator.EQUAL, values)
    compared = field(name)
    match condition.comparison:
        case Comparison.IS:
            return Test(name, Operator.EQUAL, values)
        case Comparison.LIKE:
            return Test(name, Operator.WILDCARD, values, fold_case=True)
        case Comparison.EXISTS:
            return Test(name, Operator.PRESENT)
        case Comparison.NUMBER:
            if compared not in NUMBERS:
                raise DetectionError(f"{name} is not a number; compare it with is or like")
            return Test(name, Operator.MASKED, values, mask=condition.mask)
        case Comparison.OPEN_FLAGS:
            if compared not in _REGISTERS:
                raise DetectionError(f"{name} holds no flags of open(2): use auditd.data.a1 or .a2")
            from auditsense.detections import open_flags  # noqa: PLC0415 - few detections have any

            open_flags.operands([str(value) for value in values])
            return Test(name, Operator.OPEN_FLAGS, values)
