"""The audit rules that `run` adds, for every command that handles them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.sources.factory import rules_needed

if TYPE_CHECKING:
    from auditsense.config.settings import RunSettings


def audit_rules_needed(settings: RunSettings) -> list[str]:
    """Return the configured audit rules, else those that the detections need.

    Raises:
        DetectionError: see `rules_needed`.
    """
    return [*settings.source.audit_rules] or rules_needed(
        settings.detections,
        costly=settings.source.costly_rules,
        mapping=settings.values["detections.mapping"],
    )
