"""Findings of the checks, and the diagnosis that they add up to."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any


class Level(IntEnum):
    """Severity of a finding."""

    OK = 0
    NOTE = 1
    """Worth knowing; the sensor works."""
    WARNING = 2
    """The sensor sees less, or the host is at risk."""
    ERROR = 3
    """The sensor cannot run, or sees nothing."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result.

    Attributes:
        id: of the check; stable, and a heading of docs/troubleshooting.md.
        level: how much it matters.
        found: the state.
        remedy: what to do; "" when there is nothing to do.
    """

    id: str
    level: Level
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """All findings, in the order of the checks.

    Attributes:
        findings: of the checks that could be made.
        unseen: ids of those that could not.
    """

    findings: tuple[Finding, ...]
    unseen: tuple[str, ...]

    @property
    def worst(self) -> Level:
        """The highest level."""
        return max((finding.level for finding in self.findings), default=Level.OK)

    @property
    def exit_code(self) -> int:
        """1 when there is a warning or an error, else 0."""
        return int(self.worst >= Level.WARNING)

    def document(self) -> dict[str, Any]:
        """Return it as plain values, as `--json` prints it."""
        return {
            "version": 1,
            "exit_code": self.exit_code,
            "worst": self.worst.name.lower(),
            "findings": [
                {
                    "id": finding.id,
                    "level": finding.level.name.lower(),
                    "found": finding.found,
                    "remedy": finding.remedy,
                }
                for finding in self.findings
            ],
            "unseen": [*self.unseen],
        }
