"""One line that says what goes on: for people at a terminal, nothing elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO

_WIDTH = 24


class Progress:
    """A bar of steps on standard error; writes only where that is a terminal.

    Args:
        steps: how many there will be.
        stream: where to; None: standard error.
    """

    def __init__(self, steps: int, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._steps = steps
        self._done = 0
        self._shown = 0

    def step(self, what: str) -> None:
        """Begin a step, which ends the one before."""
        self._show(f"[{self._bar()}] {what}")
        self._done = min(self._done + 1, self._steps)

    def note(self, what: str) -> None:
        """Say more about the step that goes on."""
        self._show(f"[{self._bar()}] {what}")

    def clear(self) -> None:
        """Take the line away."""
        self._show("")

    def _bar(self) -> str:
        full = _WIDTH * self._done // max(self._steps, 1)
        return "#" * full + "." * (_WIDTH - full)

    def _show(self, line: str) -> None:
        if self._stream is None or not self._stream.isatty():
            return
        line = line[:78]
        self._stream.write(f"\r{line:<{self._shown}}" + ("" if line else "\r"))
        self._stream.flush()
        self._shown = len(line)
