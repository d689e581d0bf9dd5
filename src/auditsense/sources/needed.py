"""The audit rules that detections say they need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.detections.model import audit_rules_of
from auditsense.errors import AuditRuleError, DetectionError
from auditsense.kernel import auditctl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.detections.model import Detection


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
