"""The audit rules that `run` adds, for every command that handles them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.sources.factory import derivation_of, rules_needed

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


def audit_rules_of_run(settings: RunSettings) -> tuple[list[str], list[str]]:
    """Return `audit_rules_needed`, as `run` adds them and with the optional ones, derived once.

    Raises:
        DetectionError: see `rules_needed`.
    """
    configured = [*settings.source.audit_rules]
    if configured:
        return configured, configured
    derivation = derivation_of(settings.detections, settings.values["detections.mapping"])
    costly = settings.source.costly_rules
    return derivation.lines(costly=costly), derivation.lines(costly=costly, optional=True)
