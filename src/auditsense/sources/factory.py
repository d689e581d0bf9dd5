"""The source of a sensor, with the audit rules that its detections say they need."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from auditsense.detections.given import several
from auditsense.detections.model import audit_rules_of
from auditsense.errors import AuditRuleError, AuditSenseError, DetectionError, UsageError
from auditsense.kernel.rules import auditctl
from auditsense.sources.kernel_source import KernelSource
from auditsense.sources.text_source import Text
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from auditsense.detections.model import Detection
    from auditsense.sources.base import Source


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


@contextmanager
def extended_rules(
    source: Source, before: Sequence[Detection], after: Sequence[Detection], audit_rules: Sequence[str] | None
) -> Iterator[None]:
    """Have in force what a source's new detections need and those before did not; after an error, no more.

    Args:
        source: entered by its owner. Of a source of text nothing is asked: another program sets its rules.
        before: detections so far.
        after: detections from now on.
        audit_rules: that must be in force from now on; those that the new detections need unless given.

    Raises:
        DetectionError, AuditRuleError: an audit rule that is none.
        UsageError: a rule is not in force and cannot be added. Everything is as before.
    """
    needed = rules_needed(several(after)) if audit_rules is None else audit_rules
    old = rules_needed(before)
    new = [line for line in needed if line not in old]
    take_back = _extend(source, new) if new and not isinstance(source, Text) else None
    try:
        yield
    except BaseException:
        if take_back is not None:
            take_back()
        raise


def _extend(source: Source, new: Sequence[str]) -> Callable[[], None]:
    extend: Callable[[Sequence[str]], Callable[[], None]] | None = getattr(source, "extend_rules", None)
    listed = "; ".join(new)
    if extend is None:
        raise UsageError(
            f"audit rules not in force: {listed}: source {source.name} adds none; set them first"
        )
    try:
        return extend(new)
    except (AuditRuleError, UsageError):
        raise
    except AuditSenseError as problem:
        raise UsageError(f"audit rules not in force: {listed}: {problem}") from None


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
