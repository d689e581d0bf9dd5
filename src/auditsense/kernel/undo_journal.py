"""Journal of a takeover's steps, for a process that outlives it.

Each line of JSON lists everything that is changed at that moment, so the last complete line suffices and
nothing has to be replayed: ``{"owner": pid, "steps": [...]}``.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from auditsense._frozen import Frozen
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
"""Settings that a takeover changes, with the highest value of each; other lines are not ours."""


class Journal(Protocol):
    """Receives every step before it is taken, and again when it is undone."""

    def write(self, steps: Sequence[Step]) -> None:
        """Record that exactly these steps may be in effect now.

        When this returns, they must be out of this process. If that fails, raise: the takeover stops.
        """


@dataclass(slots=True, eq=False, repr=False)
class Entry(Frozen):
    """Content of a line: the process that took over, and the steps in effect, in order."""

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
    except (ValueError, LookupError, TypeError, RecursionError, AuditRuleError) as error:
        raise InputError(f"not a takeover journal: {error}") from None


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
