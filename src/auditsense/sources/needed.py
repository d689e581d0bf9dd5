"""The source of a sensor, with the audit rules that its detections say they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.detections.model import audit_rules_of
from auditsense.errors import AuditRuleError, DetectionError, UsageError
from auditsense.kernel import auditctl
from auditsense.sources.kernel_source import KernelSource
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.detections.model import Detection
    from auditsense.sources.source import Source


def rules_needed(detections: Sequence[Detection]) -> list[str]:
    """Return the audit rules that these detections need, each once.

    Raises:
        DetectionError: one of them is no audit rule; the message says whose.
    """
    for detection in detections:
        if not detection.audit_rule:
            continue
        try:
            auditctl.parse(detection.audit_rule)
        except AuditRuleError as problem:
            raise DetectionError(f"detection {detection.id!r}: audit_rule: {problem}") from None
    return audit_rules_of(detections)


def source_for(
    source: Source | None, audit_rules: Sequence[str] | None, detections: Sequence[Detection]
) -> Source:
    """Return the source to take records from: this one, or the kernel's unicast socket.

    Args:
        source: that was asked for.
        audit_rules: that were asked for, without a source; those that the detections need unless given.
        detections: of the sensor.

    Raises:
        UsageError: both are given, or no detection says which audit rule it needs.
        AuditRuleError, DetectionError: an audit rule that is none.
    """
    needed = rules_needed(detections)
    if source is None:
        source = Unicast(audit_rules)
    elif audit_rules is not None:
        raise UsageError(
            "with a source of one's own the audit rules go to the source, as in "
            f"Unicast({audit_rules!r}, guarded=True); Sensor(audit_rules=…) is without source="
        )
    if isinstance(source, KernelSource):
        source.need(needed)
    return source
