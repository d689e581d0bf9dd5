"""What a detector gives."""

from __future__ import annotations

import enum
from typing import NoReturn

from auditsense.errors import UsageError


class View(enum.StrEnum):
    """What comes out."""

    ALERTS = "alerts"
    """What a person needs: one alert a burst, and its end."""
    SEQUENCES = "sequences"
    """Every completed window, as Elastic counts them."""
    EVENTS = "events"
    """Every event that has a SYSCALL record; nothing is detected."""

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise UsageError(f"there is no view {value!r}; it is one of {', '.join(cls)}")
