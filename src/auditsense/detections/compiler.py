"""Compiler of detections to the core's rule table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense import syscalls
from auditsense._values import did_you_mean
from auditsense.core.rule_table import (
    Field,
    MaskedNumber,
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
from auditsense.detections import open_flags
from auditsense.detections.fields import HOST, NUMBERS, SYSCALL_NAME, field
from auditsense.detections.model import Comparison, Condition, Detection, DetectionException
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_MOST_KEYS = 2
_REGISTERS = frozenset({Field.A0, Field.A1, Field.A2, Field.A3})
MOST_MATCHES = 64
MOST_SPAN_MS = 86_400_000
_OPS = {
    Comparison.IS: Op.TEXT,
    Comparison.LIKE: Op.LIKE,
    Comparison.NUMBER: Op.NUMBER,
    Comparison.OPEN_FLAGS: Op.TEXT,
    Comparison.EXISTS: Op.PRESENT,
}


def _calls(condition: Condition) -> tuple[tuple[int, int], ...]:
    if condition.comparison is not Comparison.IS or condition.negated:
        raise DetectionError(f'{SYSCALL_NAME} can only be compared with names, as in: = "openat"')
    calls: list[tuple[int, int]] = []
    for name in condition.values:
        same_name = list(syscalls.calls(str(name)))
        if not same_name:
            hint = did_you_mean(str(name), sorted(syscalls.all_names()))
            raise DetectionError(f"no architecture has a system call {name!r}{hint}")
        calls += same_name
    return tuple(calls)


def _check(condition: Condition) -> None:
    """Raise for values that cannot be compared with: code can give them, a file cannot."""
    # A string is a sequence of strings: without this, one would be compared with its letters.
    values: object = condition.values
    if condition.comparison is Comparison.EXISTS:
        if values != ():
            raise DetectionError(f"{condition.field}: exists has no values")
        return
    if not isinstance(values, tuple) or not values:
        raise DetectionError(f'{condition.field}: values must be a tuple with something in it, as ("/proc",)')
    number = condition.comparison is Comparison.NUMBER
    for value in condition.values:
        if isinstance(value, bool) or isinstance(value, int) is not number:
            kind = "whole numbers" if number else "strings"
            raise DetectionError(
                f"{condition.field}: {condition.comparison} compares with {kind}, not {value!r}"
            )


def _predicate(condition: Condition) -> Predicate:
    compared = field(condition.field)
    if condition.comparison is Comparison.NUMBER and compared not in NUMBERS:
        raise DetectionError(f"{condition.field} is no number; compare it with is or like")
    if condition.comparison is Comparison.OPEN_FLAGS:
        if compared not in _REGISTERS:
            raise DetectionError(f"{condition.field} holds no flags of open(2): use auditd.data.a1 or .a2")
        flags = open_flags.operands([str(value) for value in condition.values])
        return Predicate(compared, Op.TEXT, flags)
    operands = tuple(
        MaskedNumber(value & condition.mask, condition.mask) if isinstance(value, int) else value.encode()
        for value in condition.values
    )
    op = _OPS[condition.comparison]
    return Predicate(compared, op, operands, fold_case=op is Op.LIKE)


def _program(conditions: Iterable[Condition]) -> Program:
    """Return a program that holds if all conditions do: an absent field fails one even if it is negated."""
    tests: list[tuple[Predicate, bool]] = []
    for condition in conditions:
        predicate = _predicate(condition)
        if condition.negated and predicate.op is Op.NUMBER:
            tests.append((Predicate(predicate.field, Op.NUMBER, (MaskedNumber(0, 0),)), True))
        elif condition.negated and predicate.op is not Op.PRESENT:
            tests.append((Predicate(predicate.field, Op.PRESENT), True))
        tests.append((predicate, not condition.negated))
    return conjunction(tests)


def check_condition(condition: Condition) -> None:
    """Check one condition of a detection.

    Raises:
        DetectionError: an unknown field or system call, or values that the field cannot be compared with.
    """
    _check(condition)
    if condition.field == SYSCALL_NAME:
        _calls(condition)
    else:
        _predicate(condition)


def compile_exception(exception: DetectionException) -> RuleException:
    """Compile one exception.

    Raises:
        DetectionError: it has no condition, an unknown field, or compares the system call.
    """
    if not exception.match:
        raise DetectionError("an exception without a condition takes everything; remove the detection")
    for condition in exception.match:
        _check(condition)
        if condition.field == SYSCALL_NAME:
            raise DetectionError(f"{SYSCALL_NAME} cannot be in an exception; narrow the detection's match")
    return RuleException(_program(exception.match), exception.expires_ms)


def compile_one(detection: Detection, *, merge_ms: int) -> Selection:
    """Compile one detection.

    Args:
        detection: what to look for.
        merge_ms: see `Rule.merge_ms`; 0 returns every completed sequence.

    Raises:
        DetectionError: an unknown field or system call, or too many key fields.
    """
    by = detection.window.by
    if HOST not in by or len(by) > _MOST_KEYS:
        raise DetectionError(f"{detection.id}: a window is by {HOST} and at most one more field")
    if SYSCALL_NAME in by:
        raise DetectionError(f"{detection.id}: a window cannot be by {SYSCALL_NAME}")
    if not 1 <= detection.window.matches <= MOST_MATCHES:
        raise DetectionError(f"{detection.id}: matches must be 1 to {MOST_MATCHES}")
    if not 1 <= detection.window.within_ms <= MOST_SPAN_MS:
        raise DetectionError(f"{detection.id}: within_ms must be 1 to {MOST_SPAN_MS}")
    for condition in detection.match:
        _check(condition)
    named = [condition for condition in detection.match if condition.field == SYSCALL_NAME]
    return Selection(
        Rule(
            kind=RuleKind.EVENT if detection.window.matches == 1 else RuleKind.RUNS,
            count=detection.window.matches,
            span_ms=detection.window.within_ms,
            merge_ms=merge_ms,
            exceptions=tuple(compile_exception(exception) for exception in detection.exceptions),
        ),
        calls=tuple(call for condition in named for call in _calls(condition)) if named else None,
        program=_program(condition for condition in detection.match if condition.field != SYSCALL_NAME),
        keys=tuple(field(name) for name in by),
    )


def compile_all(detections: Sequence[Detection], *, merge_ms: int) -> RuleTable:
    """Compile detections in order: rule *n* of the table is detection *n*.

    Raises:
        DetectionError: as `compile_one`; two detections of one id.
    """
    ids = [detection.id for detection in detections]
    twice = sorted({name for name in ids if ids.count(name) > 1})
    if twice:
        raise DetectionError(f"two detections have the id {twice[0]!r}")
    return select(compile_one(detection, merge_ms=merge_ms) for detection in detections)
