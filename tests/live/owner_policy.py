"""Owner of the audit socket before a live test, and the reaction of the tests."""

from __future__ import annotations

import enum
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.processes import Process


class Decision(enum.Enum):
    """Outcome of a live test while a process owns the audit socket."""

    SKIP = "the test is skipped"
    FAIL = "the test fails"
    END = "the owner is ended, and the test fails"


def decide(owner: Process, *, in_ci: bool) -> tuple[Decision, str]:
    """Return what happens to a test, and the sentence that says why.

    A process that this run has left is ended. The process of another stays as it is: CI must not pass without
    its live tests, so there the test fails; elsewhere it is skipped.
    """
    if owner.ours:
        return Decision.END, f"an earlier test left {owner}, which owned the audit socket; it was ended"
    owns = f"{owner} owns the audit socket"
    if in_ci:
        return Decision.FAIL, f"live tests cannot run: {owns}; stop it, or unset CI and they are skipped"
    return Decision.SKIP, f"no live kernel audit: {owns}"


def in_ci() -> bool:
    """Tell whether this is a run of CI, which must not skip what it could run."""
    return os.environ.get("CI") == "true"
