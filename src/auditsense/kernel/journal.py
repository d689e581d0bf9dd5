"""The steps a takeover has taken, told to somebody who outlives it.

One line of JSON says all that is changed at this moment, so that the last whole line is the truth
and nothing has to be replayed: ``{"owner": pid, "steps": [...]}``.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from auditsense.errors import AuditRuleError, InputError
from auditsense.kernel.audit_rule import AuditRule
from auditsense.kernel.plan import AddRule, BecomeOwner, ChangeSetting, Step
from auditsense.kernel.status import StatusField

if TYPE_CHECKING:
    from collections.abc import Sequence


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
        steps = tuple(_step(step) for step in document["steps"])
        return Entry(int(document["owner"]), steps)
    except (ValueError, KeyError, TypeError, AuditRuleError) as problem:
        raise InputError(f"no takeover journal: {problem}") from None


def _step(step: dict[str, Any]) -> Step:
    if "set" in step:
        return ChangeSetting(StatusField[step["set"]], int(step["old"]), int(step["new"]))
    if "rule" in step:
        return AddRule(AuditRule.from_bytes(base64.b64decode(step["rule"], validate=True)))
    if "own" in step:
        return BecomeOwner()
    raise ValueError(f"unknown step {step}")
