"""EQL text of a query. The parser reads the same query from it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from auditsense.detections.expression import And, Constant, Not, Operator, Or, QueryKind, Test

if TYPE_CHECKING:
    from auditsense.detections.expression import Expression, KeyField, Query, Step

_KEYWORDS: Final = frozenset({"any", "sequence", "sample", "join"})
_WORD: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ORDER: Final = {
    Operator.EQUAL: "==",
    Operator.LESS: "<",
    Operator.AT_MOST: "<=",
    Operator.GREATER: ">",
    Operator.AT_LEAST: ">=",
}


def eql_of(query: Query) -> str:
    """Return a query in EQL: negations at the comparisons, groups in parentheses, lists in every comparison.

    The look-back, which is no part of the text, is left out; so are comparisons of our own format alone
    (MASKED, OPEN_FLAGS), which no query in EQL has.
    """
    if query.kind is QueryKind.EVENT:
        text = _event(query.steps[0])
    else:
        span = f" with maxspan={query.maxspan_ms}ms" if query.maxspan_ms else ""
        text = "\n  ".join([f"{query.kind}{_by(query.by)}{span}", *map(_item, query.steps)])
        if query.until:
            text += f"\nuntil [{_event(query.until)}]{_by(query.until.by)}"
    return text + (f" | tail {query.limit}" if query.limit else "")


def _item(step: Step) -> str:
    return f"[{_event(step)}]{_by(step.by)}{f' with runs={step.runs}' if step.runs > 1 else ''}"


def _by(keys: tuple[KeyField, ...]) -> str:
    return f" by {', '.join(('?' if key.optional else '') + key.name for key in keys)}" if keys else ""


def _event(step: Step) -> str:
    category = step.category
    if category is None:
        word = "any"
    else:
        word = category if _WORD.fullmatch(category) and category not in _KEYWORDS else _text(category)
    return f"{word} where {_expression(step.where)}"


def _expression(tree: Expression) -> str:
    match tree:
        case Constant(value):
            return "true" if value else "false"
        case Not(term):
            return f"not {_expression(term)}"
        case And(terms):
            return f"({' and '.join(map(_expression, terms))})"
        case Or(terms):
            return f"({' or '.join(map(_expression, terms))})"
        case Test():
            return _test(tree)


def _test(test: Test) -> str:
    values = [_text(value) if isinstance(value, str) else str(value) for value in test.values]
    tilde = "~" if test.fold_case else ""
    match test.operator:
        case Operator.PRESENT:
            return f"{test.field} != null"
        case Operator.NETWORK:
            return f"cidrMatch({', '.join([test.field, *values])})"
        case Operator.LENGTH if test.length_operator is not None:
            return f"length({test.field}) {_ORDER[test.length_operator]} {values[0]}"
        case Operator.EQUAL:
            one = len(values) == 1 and not tilde
            return f"{test.field} == {values[0]}" if one else f"{test.field} in{tilde} ({', '.join(values)})"
        case Operator.WILDCARD | Operator.REGEX:
            word = "like" if test.operator is Operator.WILDCARD else "regex"
            operand = values[0] if len(values) == 1 else f"({', '.join(values)})"
            return f"{test.field} {word}{tilde} {operand}"
        case _:
            return f"{test.field} {_ORDER[test.operator]} {values[0]}"


def _text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
