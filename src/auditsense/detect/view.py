"""Output of a sensor or a replay, as `-o` names it."""

from __future__ import annotations

import enum
from typing import NoReturn

from auditsense.errors import UsageError


class View(enum.StrEnum):
    """Kind of output."""

    ALERTS = "alerts"
    """One alert per burst, and its end."""
    SEQUENCES = "sequences"
    """Every completed window, as Elastic counts them."""
    EVENTS = "events"
    """Every event of a system call, of user space and of others that have a name; nothing is detected."""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise UsageError(f"unknown view {value!r} (choose {', '.join(cls)})")
