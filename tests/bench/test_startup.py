"""The time of a start: what comes before it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from auditsense.bench import startup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class StoppedError(Exception):
    """The load would be started now."""


def test_audit_was_on_once_before_the_load_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel never reports a process that is older than the first time that audit was on."""
    steps = []

    @contextmanager
    def audit(rules: list[str], *, guarded: bool) -> Iterator[None]:
        assert (rules, guarded) == ([], True)
        steps.append("on")
        yield
        steps.append("off")

    def scan(*_: object, **__: object) -> None:
        steps.append("load")
        raise StoppedError

    monkeypatch.setattr(startup, "Unicast", audit)
    monkeypatch.setattr(startup, "scan", scan)
    startup._turn_audit_on_once.cache_clear()
    command: Sequence[str] = ["scanner"]
    for _ in range(2):
        with pytest.raises(StoppedError):
            startup.startup(command)
    assert steps == ["on", "off", "load", "load"]
    startup._turn_audit_on_once.cache_clear()
