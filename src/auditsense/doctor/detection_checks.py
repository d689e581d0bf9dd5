"""Checks of the loaded detections: whether each can fire on this host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditsense.doctor.finding import Finding, Level
from auditsense.kernel.audit_status import Enabled, Failure
from auditsense.kernel.rules import auditctl
from auditsense.kernel.rules.covering import covers
from auditsense.kernel.rules.shadowing import excludes_record, hides

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditsense.doctor.facts import Facts
    from auditsense.kernel.rules.rule import AuditRule
    from auditsense.sources.rule_needs import RuleNeeds

_MOST_NAMED: Final = 8


def detections(facts: Facts) -> Finding | None:
    """Whether each detection can fire on this host, and why not."""
    if facts.needs is None or facts.rules is None or facts.reads_text:
        return None
    rules = _rules(facts)
    wrong = {needs.detection: why for needs in facts.needs if (why := _obstacle(needs, rules))}
    unable = {needs.detection: why for needs in facts.needs if (why := _limit(needs))}
    if wrong:
        return Finding(
            "detections",
            Level.WARNING,
            f"{_counted(wrong, facts.needs)}: {_listed(wrong)}",
            "add what auditsense rules print shows before the rules that hide it (docs/operating.md)",
        )
    if unable:
        return Finding(
            "detections",
            Level.NOTE,
            f"{_counted(unable, facts.needs)}: {_listed(unable)}",
            "nothing; or add costly rules with --costly-rules, where they are named",
        )
    number = len(facts.needs)
    every = "the detection" if number == 1 else f"all {number} detections"
    return Finding("detections", Level.OK, f"{every} can fire")


def _rules(facts: Facts) -> list[AuditRule]:
    """Return the kernel's rules while a sensor runs, in order."""
    rules = list(facts.rules or ())
    status = facts.status
    fixed = status is not None and (status.enabled == Enabled.LOCKED or status.failure == Failure.PANIC)
    if facts.sensor is None and not fixed:
        present = {rule.identity for rule in rules}
        rules += [wanted for wanted in facts.wanted if wanted.identity not in present]
    return rules


def _obstacle(needs: RuleNeeds, rules: Sequence[AuditRule]) -> str:
    """Return what keeps the kernel from reporting an event that a detection needs; "": nothing."""
    for step in needs.steps:
        reasons = [_unreported(rule, rules) for rule in step]
        if all(reasons):
            return reasons[0]
    excluded = [name for kind, name in needs.records if any(excludes_record(rule, kind) for rule in rules)]
    return f"{' and '.join(excluded)} records are excluded" if excluded else ""


def _unreported(wanted: AuditRule, rules: Sequence[AuditRule]) -> str:
    """Return why the kernel does not report what a rule is for; "": it does."""
    for place, rule in enumerate(rules):
        if covers(rule, wanted):
            before = [earlier for earlier in rules[:place] if hides(earlier, wanted)]
            return f"the audit rule {auditctl.format_rule(before[0])} hides its events" if before else ""
    return "the kernel has no audit rule for it"


def _limit(needs: RuleNeeds) -> str:
    if needs.costly:
        return f"needs costly rules for {', '.join(needs.costly)}"
    return needs.unable


def _counted(found: dict[str, str], needs: Iterable[RuleNeeds]) -> str:
    number = len([*needs])
    return "the detection cannot fire" if number == 1 else f"{len(found)} of {number} detections cannot fire"


def _listed(found: dict[str, str]) -> str:
    shown = [f"{detection} ({why})" for detection, why in [*found.items()][:_MOST_NAMED]]
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return ", ".join(shown) + more
