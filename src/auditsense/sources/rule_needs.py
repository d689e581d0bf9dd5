"""Needs of each detection: audit rules and records, to diagnose why it cannot fire."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditsense.detections.derive import derive
from auditsense.detections.derive_requirements import fields_of
from auditsense.detections.derive_rules import Cost, lines_of
from auditsense.detections.own_query import query_of
from auditsense.kernel.rules import auditctl

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.detections.derive import DetectionRules, StepRules
    from auditsense.detections.model import Detection
    from auditsense.kernel.rules.rule import AuditRule

_RECORDS: Final = {  # linux/audit.h
    "file.": (1302, "PATH"),
    "process.args": (1309, "EXECVE"),
    "process.command_line": (1309, "EXECVE"),
    "process.title": (1327, "PROCTITLE"),
    "process.working_directory": (1307, "CWD"),
    "destination.": (1306, "SOCKADDR"),
    "source.": (1306, "SOCKADDR"),
    "network.direction": (1306, "SOCKADDR"),
    "auditd.data.socket.": (1306, "SOCKADDR"),
}
"""Beginnings of the names of fields, and the record that has them."""


@dataclass(frozen=True, slots=True)
class RuleNeeds:
    """Audit rules and records that one detection needs to fire.

    Attributes:
        detection: its id, or its name if the id is a UUID.
        steps: of each of its events that needs audit rules, these rules; each reports some of the events.
        unable: why it cannot fire on this host whatever rules there are; "": it can.
        costly: calls whose rules are costly, if without these it cannot fire.
        records: record types that its conditions need, with their names.
    """

    detection: str
    steps: tuple[tuple[AuditRule, ...], ...]
    unable: str = ""
    costly: tuple[str, ...] = ()
    records: tuple[tuple[int, str], ...] = ()


def needs_of(detections: Sequence[Detection], *, costly: bool) -> tuple[RuleNeeds, ...]:
    """Return what detections need.

    Args:
        detections: whose audit rules are valid.
        costly: whether costly rules are added.
    """
    derivation = derive(detections)
    return tuple(
        _needs(detection, rules, derivation.machine, costly=costly)
        for detection, rules in zip(detections, derivation.detections, strict=True)
    )


def _needs(detection: Detection, rules: DetectionRules, machine: str, *, costly: bool) -> RuleNeeds:
    fields = {field for step in query_of(detection).steps for field in fields_of(step.where)}
    records = {kind for field in fields for start, kind in _RECORDS.items() if field.startswith(start)}
    named = [tuple(auditctl.parse(line) for line in rules.named)] if rules.named else []
    derived = [_rules_of(step, machine, costly=costly) for step in rules.steps if step.selections]
    if rules.is_optional:  # those that it names report its events, or those of others
        named, derived = [(*named[0], *rule) for rule in derived], []
    unable = next((_why(step) for step in rules.steps if not step.selections and not step.from_records), "")
    return RuleNeeds(
        rules.detection,
        tuple(step for step in [*named, *derived] if step),
        unable,
        rules.costly_calls if rules.is_silent and not costly else (),
        tuple(sorted(records)),
    )


def _rules_of(step: StepRules, machine: str, *, costly: bool) -> tuple[AuditRule, ...]:
    return tuple(
        auditctl.parse(line)
        for selection in step.selections
        if costly or selection.cost is not Cost.HIGH
        for line in lines_of(selection, machine)
    )


def _why(step: StepRules) -> str:
    if step.keyed:
        return ""  # the user has an audit rule for it, or adds one
    return "; ".join(step.unseen) or "no system call of this machine has such an event"
