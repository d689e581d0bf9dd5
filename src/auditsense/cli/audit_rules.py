"""The audit rules that `run` adds, for every command that handles them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.sources.factory import rules_needed

if TYPE_CHECKING:
    from auditsense.config.settings import RunSettings


def audit_rules_needed(
    settings: RunSettings, *, active: RunSettings | None = None, optional: bool = False
) -> list[str]:
    """Return the configured audit rules, else those that the detections need.

    Args:
        settings: with the detections.
        active: of the running sensor, whose rules, costly rules and mapping stay until a restart.
        optional: the rules that `run` leaves out, in place of those that report the same.

    Raises:
        DetectionError: see `rules_needed`.
    """
    fixed = active if active is not None else settings
    return [*fixed.source.audit_rules] or rules_needed(
        settings.detections,
        costly=fixed.source.costly_rules,
        optional=optional,
        mapping=fixed.values["detections.mapping"],
    )
