"""The steps a takeover has taken, told to somebody who outlives it.

One line of JSON says all that is changed at this moment, so that the last whole line is the truth
and nothing has to be replayed: ``{"owner": pid, "steps": [...]}``.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from auditsense.errors import AuditRuleError, InputError
from auditsense.kernel.audit_status import Enabled, StatusField
from auditsense.kernel.plan import AddRule, BecomeOwner, ChangeSetting, Step
from auditsense.kernel.rules.rule import AuditRule

if TYPE_CHECKING:
    from collections.abc import Sequence

_U32_MAX: Final = 0xFFFFFFFF
_SETTINGS: Final = {
    StatusField.BACKLOG_WAIT_TIME: _U32_MAX,
    StatusField.BACKLOG_LIMIT: _U32_MAX,
    StatusField.ENABLED: int(Enabled.ON),
}
"""What a takeover sets, and the highest value it may have had: a line that says more is none of ours."""


class Journal(Protocol):
    """Told of every step before it is taken, and of its undoing after it."""

    def write(self, steps: Sequence[Step]) -> None:
        """Remember that exactly these steps may be in effect now.

        Must have reached whoever outlives this process when it returns, or raise: the takeover
        then does not go on.
        """


@dataclass(frozen=True, slots=True)
class Entry:
    """What a line says: the process that took over, and the steps in effect, in order."""

    owner: int
    steps: tuple[Step, ...]


def encode(entry: Entry) -> bytes:
    """Return an entry as one line."""
    steps: list[dict[str, Any]] = []
    for step in entry.steps:
        match step:
            case ChangeSetting():
                steps.append({"set": step.field.name, "old": step.old, "new": step.new})
            case BecomeOwner():
                steps.append({"own": True})
            case AddRule():
                steps.append({"rule": base64.b64encode(step.rule.to_bytes()).decode("ascii")})
    return json.dumps({"owner": entry.owner, "steps": steps}).encode() + b"\n"


def decode(line: bytes) -> Entry:
    """Read a line.

    Raises:
        InputError: it is no entry.
    """
    try:
        document = json.loads(line)
        owner = _number(document["owner"], 0x7FFFFFFF)
        return Entry(owner, tuple(_step(step) for step in document["steps"]))
    except (ValueError, LookupError, TypeError, RecursionError, AuditRuleError) as problem:
        raise InputError(f"no takeover journal: {problem}") from None


def _step(step: dict[str, Any]) -> Step:
    if "set" in step:
        field = StatusField[step["set"]]
        highest = _SETTINGS[field]
        return ChangeSetting(field, _number(step["old"], highest), _number(step["new"], highest))
    if "rule" in step:
        return AddRule(AuditRule.from_bytes(base64.b64decode(step["rule"], validate=True)))
    if "own" in step:
        return BecomeOwner()
    raise ValueError("unknown step")


def _number(value: object, highest: int) -> int:
    if type(value) is not int or not 0 <= value <= highest:
        raise ValueError("a number is out of its range")
    return value
