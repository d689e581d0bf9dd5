"""Parts of a query that no event can satisfy: facts about audit events that its author may not know.

They are warnings. The query means what it means, and `detections check` shows them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditsense.detections.expression import Operator, tests_of
from auditsense.detections.query_fields import NEVER_PRESENT, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditsense.detections.expression import Query, Test

NAME_BYTES: Final = 15
"""Most bytes of a process name: the kernel cuts the rest."""

CATEGORIES: Final = frozenset(
    {
        *("authentication", "configuration", "driver", "file", "host", "iam", "intrusion_detection"),
        *("network", "process", "session"),
    }
)
"""Every `event.category` of audit events."""

_NAMES: Final = frozenset({"process.name", "process.parent.name"})
_COMMAND_LINES: Final = frozenset({"process.command_line", "process.parent.command_line"})
_SHOWN: Final = 3


def dead_parts(query: Query) -> list[str]:
    """Return a sentence for each part of a query that can never match, with its line, in their order."""
    warnings: list[str] = []
    for step in query.all_steps:
        if step.category is not None and step.category not in CATEGORIES:
            warnings.append(f"line {step.line}: no audit event has the category {step.category}")
        for test in tests_of(step.where):
            warnings += [f"line {test.line}: {warning}" for warning in _warnings(test)]
    return list(dict.fromkeys(warnings))


def _warnings(test: Test) -> Iterator[str]:
    texts = [value for value in test.values if isinstance(value, str)]
    if test.field in NEVER_PRESENT:
        yield f"{test.field} is in no record of these events"
    if test.field in _NAMES and (long := [text for text in texts if _is_long(test, text)]):
        yield f"{test.field} has at most {NAME_BYTES} bytes, so it never is {_shown(long)}"
    if test.operator is Operator.EQUAL:
        if starred := [text for text in texts if "*" in text]:
            yield f"{_shown(starred)} is compared exactly, star included; use : or like"
        if test.field in NUMBERS - {"auditd.data.exit"} and texts:
            yield f"{test.field} is a number, so it never is {_shown(texts)}"
    wild_command_line = test.field in _COMMAND_LINES and test.operator is Operator.WILDCARD
    if wild_command_line and (paths := [text for text in texts if _is_path(text)]):
        yield f"{test.field} begins with the called program, so it hardly is {_shown(paths)}"


def _is_long(test: Test, text: str) -> bool:
    """Return whether a text, or the shortest text that a pattern fits, is longer than a name can be."""
    if test.operator is Operator.WILDCARD:
        text = text.replace("*", "")
    return test.operator in (Operator.EQUAL, Operator.WILDCARD) and len(text.encode()) > NAME_BYTES


def _is_path(pattern: str) -> bool:
    """Return whether a pattern is a path without arguments."""
    return pattern.startswith("/") and not pattern.endswith("*") and " " not in pattern


def _shown(texts: list[str]) -> str:
    more = len(texts) - _SHOWN
    return " or ".join(f'"{text}"' for text in texts[:_SHOWN]) + (f" ({more} more)" if more > 0 else "")
