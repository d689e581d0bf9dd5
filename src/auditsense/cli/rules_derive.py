"""auditsense rules derive: audit rules that follow from detections, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditsense.cli import print_data, print_progress
from auditsense.config.settings import build_settings, load_config
from auditsense.detections.derive import derive
from auditsense.detections.derive_rules import Cost, lines_of
from auditsense.detections.event_table import EventMapping
from auditsense.detections.expression import Operator
from auditsense.errors import one_line
from auditsense.sources.factory import rules_needed
from auditsense.status.table import counted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from auditsense.detections.derive import Derivation, DetectionRules, StepRules
    from auditsense.detections.derive_rules import Selection
    from auditsense.detections.expression import Test

COSTLY: Final = "costly"
"""Value of --with."""

_COSTS: Final = {
    Cost.FREE: "none: the kernel looks for the rule only when a call uses this file",
    Cost.LOW: "low: such calls are rarely made",
    Cost.MODERATE: "moderate: most programs make such calls when they start or connect",
    Cost.HIGH: "high: programs make such calls all the time",
}
_SIGNS: Final = {
    Operator.EQUAL: "is",
    Operator.WILDCARD: "fits",
    Operator.REGEX: "fits",
    Operator.LESS: "<",
    Operator.AT_MOST: "<=",
    Operator.GREATER: ">",
    Operator.AT_LEAST: ">=",
    Operator.MASKED: "as a number is",
    Operator.NETWORK: "is in",
    Operator.PRESENT: "is present",
    Operator.OPEN_FLAGS: "has the flags",
}
_MOST_VALUES: Final = 4
_MOST_NAMES: Final = 8


def run(arguments: argparse.Namespace) -> int:
    """Print the rules; with --explain as a file for auditctl with comments."""
    settings = build_settings(load_config(arguments))
    rules_needed(settings.detections)  # refuses wrong rules
    costly = settings.source.costly_rules or COSTLY in arguments.extra
    derivation = derive(settings.detections, mapping=EventMapping(settings.values["detections.mapping"]))
    lines = derivation.lines(costly=costly)
    if arguments.explain:
        for line in explained(derivation, costly=costly):
            print_data(one_line(f"# {line}".rstrip()))
    for line in lines:
        print_data(one_line(line))
    print_progress(summary(derivation, len(lines), costly=costly))
    return 0


def summary(derivation: Derivation, rules: int, *, costly: bool) -> str:
    """Return the number of rules, and what the detections cannot see without costly ones."""
    text = f"{counted(rules, 'audit rules')} for {counted(len(derivation.detections), 'detections')}"
    if costly:
        return text
    silent = [needs.detection for needs in derivation.detections if needs.is_silent]
    less = [needs.detection for needs in derivation.detections if needs.costly_calls and not needs.is_silent]
    if silent:
        text += f"; cannot fire without costly rules (--with {COSTLY}): {_listed(silent)}"
    if less:
        text += f"; see more with them: {_listed(less)}"
    return text


def explained(derivation: Derivation, *, costly: bool) -> Iterator[str]:
    """Yield what each detection needs and why, one line each.

    Args:
        derivation: of the detections.
        costly: whether costly rules are among those that are printed.
    """
    for needs in derivation.detections:
        left_out = derivation.leaves_out(needs, costly=costly)
        yield from _of_detection(needs, derivation.machine, costly=costly, left_out=left_out)
        yield ""
    merged = derivation.selections(costly=costly)
    yield f"All detections together need {counted(len(derivation.lines(costly=costly)), 'audit rules')}:"
    for selection in merged:
        yield f"  {', '.join(sorted(selection.calls))}: for {_listed(sorted(selection.detections))}"


def _of_detection(needs: DetectionRules, machine: str, *, costly: bool, left_out: bool) -> Iterator[str]:
    yield f"{needs.detection}" + ("" if costly or not needs.is_silent else ": cannot fire, see its cost")
    for line in needs.named:
        yield f"  {line}"
        yield "    named by the detection"
        if left_out:
            yield "    left out by run: derived rules of other detections report the same events"
    if needs.named:
        return
    for number, step in enumerate(needs.steps, 1):
        if len(needs.steps) > 1:
            yield f"  event {number} of {len(needs.steps)}"
        yield from _of_step(step, machine, costly=costly)


def _of_step(step: StepRules, machine: str, *, costly: bool) -> Iterator[str]:
    if step.from_records:
        yield "  no audit rule: the kernel or user space reports such records anyway"
    elif not step.selections and not step.keyed:
        yield "  no audit rule: no system call has such an event"
    for selection in step.selections:
        for line in lines_of(selection, machine):
            yield f"  {line}"
        yield from _sources(selection, step)
        left_out = "; left out" if selection.cost is Cost.HIGH and not costly else ""
        yield f"    cost: {_COSTS[selection.cost]}{left_out}"
    if step.selections and step.left:
        yield f"    compared by the sensor alone: {', '.join(step.left)}"
    for phrase in step.unseen:
        yield f"    not reported: {phrase}"
    if any(selection.requirement.places for selection in step.selections):
        yield "    not reported: files of containers, and of other file systems that have the same path"


def _sources(selection: Selection, step: StepRules) -> Iterator[str]:
    if step.chosen_by:
        yield f"    calls: {'; '.join(map(text_of, step.chosen_by))}"
    for field, test in sorted(selection.requirement.sources, key=lambda source: (source[0], source[1].field)):
        yield f"    {field}: {text_of(test)}"


def text_of(test: Test) -> str:
    """Return a test in words.

    >>> from auditsense.detections.expression import Test
    >>> text_of(Test("user.id", Operator.EQUAL, ("0", "1")))
    'user.id is 0 or 1'
    """
    shown = [str(value) for value in test.values[:_MOST_VALUES]]
    more = len(test.values) - len(shown)
    words = [test.field, _SIGNS.get(test.operator, str(test.operator)), " or ".join(shown)]
    return " ".join(word for word in words if word) + (f" or {more} more" if more else "")


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"
