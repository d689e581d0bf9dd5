"""Audit rules that detections need, derived from their conditions (ADR 32).

A detection that names its audit rules keeps them. For every other one the rules are derived: for each filter
the system calls whose events it can select, and what all of these events have in common
(`derive_requirements`). The rules of all detections are merged (`derive_rules`).

Rule 1: a derived rule reports every event that the filter selects, and more. What it cannot report is named
        (`StepRules.unseen`).
Rule 2: rules that report what programs do all the time are derived, and added only when asked for.
Rule 3: the rules that detections name come first: the kernel gives an event the key of the first rule that
        matches.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense._frozen import Frozen
from auditsense.detections.derive_requirements import (
    CallFacts,
    Place,
    Requirement,
    fields_of,
    named_calls,
    requirement_of,
    tests_of,
)
from auditsense.detections.derive_rules import Cost, Selection, lines_of, merged, selections_of
from auditsense.detections.event_table import (
    EventKind,
    EventMapping,
    kind_of_call,
    kind_of_record,
    record_types,
)
from auditsense.detections.event_table import named_calls as calls_with_words
from auditsense.detections.expression import Expression, Operator, Step, Test
from auditsense.detections.fields import SYSCALL_NAME
from auditsense.detections.own_query import query_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditsense.detections.model import Detection

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FAMILIES_SINCE: Final = (5, 3)
_STARTS: Final = frozenset({"execve", "execveat"})
_FIXED_BY_CALL: Final = frozenset({"event.category", "event.type", "event.action", SYSCALL_NAME})
_FOLDED: Final = _FIXED_BY_CALL | {"host.os.type", "data_stream.dataset"}
_KEY_FIELDS: Final = frozenset({"auditd.data.key", "tags"})


class HostPaths:
    """Kinds of paths on a host. The kernel resolves a path when a rule is added."""

    def exists(self, path: str) -> bool:
        """Return whether the path exists; True also where this process has no access."""
        try:
            Path(path).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True
        return True

    def target(self, path: str) -> str:
        """Return the target of a symbolic link; "" for any other file."""
        try:
            is_link = stat.S_ISLNK(Path(path).lstat().st_mode)
        except OSError:
            return ""
        return os.path.realpath(path) if is_link else ""

    def is_mount(self, path: str) -> bool:
        """Return whether something is mounted there."""
        return os.path.ismount(path)


class AnyPaths(HostPaths):
    """Paths of no particular host: all exist, and are neither links nor mount points."""

    def exists(self, path: str) -> bool:  # noqa: ARG002 - see `HostPaths`
        """Return True."""
        return True

    def target(self, path: str) -> str:  # noqa: ARG002 - see `HostPaths`
        """Return ""."""
        return ""

    def is_mount(self, path: str) -> bool:  # noqa: ARG002 - see `HostPaths`
        """Return False."""
        return False


@dataclass(slots=True, eq=False, repr=False)
class StepRules(Frozen):
    """Audit rules that one step of a detection needs.

    Attributes:
        selections: merged; empty: its events come without an audit rule, or never.
        from_records: whether its events can be records that come without an audit rule.
        chosen_by: tests that decide which system calls it is about.
        left: fields that only the sensor compares.
        unseen: events that it selects and no rule reports, one phrase each.
        keyed: whether its events can have a key, which an audit rule of the user gives them.
    """

    selections: tuple[Selection, ...]
    from_records: bool
    chosen_by: tuple[Test, ...]
    left: tuple[str, ...]
    unseen: tuple[str, ...]
    keyed: bool

    @property
    def is_costly(self) -> bool:
        """Whether it sees nothing without costly rules."""
        costs = [selection.cost for selection in self.selections]
        return bool(costs) and not self.from_records and all(cost is Cost.HIGH for cost in costs)

    @property
    def costly_calls(self) -> tuple[str, ...]:
        """Calls that it sees only with costly rules."""
        calls = (selection.calls for selection in self.selections if selection.cost is Cost.HIGH)
        return tuple(sorted(frozenset[str]().union(*calls)))


@dataclass(slots=True, eq=False, repr=False)
class DetectionRules(Frozen):
    """Audit rules that one detection needs.

    Attributes:
        detection: its id, or its name if the id is a UUID.
        named: the audit rules that it names; then there are no steps, unless these rules are optional.
        steps: of its query, the ending one last.
        joins: detections whose alerts count what it finds.
    """

    detection: str
    named: tuple[str, ...] = ()
    steps: tuple[StepRules, ...] = ()
    joins: tuple[str, ...] = ()

    @property
    def is_optional(self) -> bool:
        """Whether the rules that it names are left out where others report all of its events."""
        return bool(self.named and self.steps)

    @property
    def places(self) -> frozenset[Place]:
        """Places of the files of all its events; empty: an event may be about another file, or about none."""
        if not all(step.selections for step in self.steps):
            return frozenset()
        places = [selection.requirement.places for step in self.steps for selection in step.selections]
        return frozenset[Place]().union(*(one or () for one in places)) if all(places) else frozenset()

    @property
    def is_silent(self) -> bool:
        """Whether it cannot fire without costly rules."""
        return not self.named and any(step.is_costly for step in self.steps)

    @property
    def costly_calls(self) -> tuple[str, ...]:
        """Calls that it sees only with costly rules."""
        steps = () if self.named else self.steps
        return tuple(sorted({call for step in steps for call in step.costly_calls}))


@dataclass(slots=True, eq=False, repr=False)
class Derivation(Frozen):
    """Audit rules that all detections need together.

    Attributes:
        detections: in their order.
        machine: architecture by audit's name.
    """

    detections: tuple[DetectionRules, ...]
    machine: str

    def selections(self, *, costly: bool = False) -> list[Selection]:
        """Return what the derived rules select, merged, cheap ones first.

        Args:
            costly: whether those of `Cost.HIGH` are among them.
        """
        steps = [step for needs in self.detections if not needs.named for step in needs.steps]
        wanted = [selection for step in steps for selection in step.selections]
        # A rule that is not added must not take the place of another.
        return merged(selection for selection in wanted if costly or selection.cost is not Cost.HIGH)

    def leaves_out(self, needs: DetectionRules, *, costly: bool = False) -> bool:
        """Return whether the optional rules of a detection are left out: derived rules report its events.

        Args:
            needs: of one of the detections.
            costly: as for `selections`.
        """
        if not needs.is_optional or not all(step.selections for step in needs.steps):
            return False
        derived = self.selections(costly=costly)
        wanted = (selection for step in needs.steps for selection in step.selections)
        return all(
            any(other.covers(replace(selection, calls=frozenset({call}))) for other in derived)
            for selection in wanted
            for call in selection.calls
        )

    def lines(self, *, costly: bool = False, optional: bool = False) -> list[str]:
        """Return the audit rules in auditctl's syntax, each once, in the order in which they are added.

        Args:
            costly: as for `selections`.
            optional: the rules that could be left out, in place of those derived from detections that join
                theirs and look at the same places.
        """
        others = self._without_joining() if optional else self.detections
        if others != self.detections:
            return replace(self, detections=others).lines(costly=costly, optional=True)
        named = [
            line
            for needs in self.detections
            if optional or not self.leaves_out(needs, costly=costly)
            for line in needs.named
        ]
        selections = self.selections(costly=costly)
        derived = [line for selection in selections for line in lines_of(selection, self.machine)]
        return list(dict.fromkeys([*named, *derived]))

    def _without_joining(self) -> tuple[DetectionRules, ...]:
        """Return the detections but those that optional rules of one that they join stand for."""
        places = {needs.detection: needs.places for needs in self.detections if needs.is_optional}
        return tuple(
            needs
            for needs in self.detections
            if needs.named
            or not needs.places
            or not any(needs.places <= places.get(name, frozenset()) for name in needs.joins)
        )


def derive(
    detections: Iterable[Detection],
    *,
    mapping: EventMapping = EventMapping.NATIVE,
    machine: str | None = None,
    paths: HostPaths | None = None,
    kernel: tuple[int, int] | None = None,
) -> Derivation:
    """Return the audit rules that detections need.

    Args:
        detections: those that are loaded.
        mapping: which words events have.
        machine: architecture by audit's name; this one's when None.
        paths: of the host that gets the rules; this one's when None.
        kernel: version of Linux; this host's when None. A rule can compare address families since 5.3.
    """
    machine = machine or syscalls.native_arch()
    host = _Host(mapping, machine, paths or HostPaths(), (kernel or _kernel()) >= _FAMILIES_SINCE)
    return Derivation(tuple(host.rules_of(detection) for detection in detections), machine)


@dataclass(slots=True, eq=False, repr=False)
class _Host(Frozen):
    mapping: EventMapping
    machine: str
    paths: HostPaths
    families: bool

    def rules_of(self, detection: Detection) -> DetectionRules:
        label = _label(detection)
        if detection.audit_rules and not detection.audit_rule_optional:
            return DetectionRules(label, named=detection.audit_rules)
        query = query_of(detection)
        steps = [*query.steps, *([query.until] if query.until is not None else [])]
        return DetectionRules(
            label,
            detection.audit_rules,
            tuple(self._step(step, label) for step in steps),
            detection.joins,
        )

    def _step(self, step: Step, detection: str) -> StepRules:
        requirements: dict[str, Requirement] = {}
        for name in sorted({*calls_with_words(), *named_calls(step.where)}):
            requirement = self._requirement(step, name)
            if requirement is not None and self._exists(name):
                requirements[name] = requirement
        unseen: set[str] = set()
        if self._requirement(step, None) is not None:
            unseen.add(_other_calls(requirements))
            requirements = {name: own for name, own in requirements.items() if name in _STARTS}
        selections = [
            selection
            for name, requirement in requirements.items()
            for selection in selections_of([name], self._on_host(requirement, unseen), detection)
        ]
        unseen.update(phrase for selection in selections for phrase in selection.requirement.unseen)
        keys = _keys(step.where)
        unseen.update(keys)
        kernel_tests = {test for selection in selections for _, test in selection.requirement.sources}
        exact = {test.field for test in kernel_tests}
        return StepRules(
            selections=(
                *merged(selection for selection in selections if selection.cost is not Cost.HIGH),
                *merged(selection for selection in selections if selection.cost is Cost.HIGH),
            ),
            from_records=_from_records(step, self.mapping, self.machine),
            chosen_by=tuple(test for test in tests_of(step.where) if test.field in _FIXED_BY_CALL),
            left=tuple(sorted(fields_of(step.where) - exact - _FOLDED)),
            unseen=tuple(sorted(unseen)),
            keyed=bool(keys),
        )

    def _requirement(self, step: Step, name: str | None) -> Requirement | None:
        facts = CallFacts.of(name, self.mapping, self.machine)
        if step.category is not None and step.category not in facts.kind.category:
            return None
        return requirement_of(step.where, facts)

    def _exists(self, name: str) -> bool:
        arches = (self.machine, syscalls.narrow_arch(self.machine))
        return any(arch is not None and syscalls.number(name, arch) is not None for arch in arches)

    def _on_host(self, requirement: Requirement, unseen: set[str]) -> Requirement:
        """Return a requirement that the kernel can test here."""
        if not self.families:
            requirement = requirement.without("saddr_fam")
        if requirement.places is None:
            return requirement
        places: set[Place] = set()
        for place in requirement.places:
            match place:
                case Place("path", path) if self.paths.is_mount(path):
                    places.add(Place("dir", path))
                case Place("path", path):
                    folder = path.rpartition("/")[0] or "/"
                    # Of a file that is missing the kernel watches the folder, but not in procfs.
                    watched = path if path.startswith("/proc/") else folder
                    if not self.paths.exists(watched):
                        unseen.add(f"{path}: there is no {watched} here to watch")
                        continue
                    places |= {place, *(Place("path", real) for real in [self.paths.target(path)] if real)}
                case Place("dir", path) if not self.paths.exists(path):
                    unseen.add(f"files below {path}: there is no such folder here to watch")
                case _:
                    places.add(place)
        return replace(requirement, places=frozenset(places))


def _kernel() -> tuple[int, int]:
    """Return the version of this kernel; a recent one if its name tells none."""
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(version[1]), int(version[2])) if version is not None else _FAMILIES_SINCE


def _label(detection: Detection) -> str:
    """Return what a person knows a detection by: its id, or its name if the id is a UUID."""
    return detection.name if _UUID.fullmatch(detection.id) else detection.id


def _from_records(step: Step, mapping: EventMapping, machine: str) -> bool:
    """Return whether a step can select events that the kernel or user space reports without an audit rule."""
    names_action = any(test.field == "event.action" for test in tests_of(step.where))
    kinds = [kind_of_call(name, mapping) for name in calls_with_words()]
    for record_type in record_types().values():
        own = kind_of_record(record_type)
        if own is None or not (own.category or names_action):
            continue
        words = own
        if not own.category:  # a record of a call, which has the words of the call as well
            words = EventKind(
                own.action,
                tuple(word for kind in kinds for word in kind.category),
                tuple(word for kind in kinds for word in kind.type),
            )
        if step.category is not None and step.category not in words.category:
            continue
        if requirement_of(step.where, CallFacts(None, words, mapping, machine, of_call=False)) is not None:
            return True
    return False


def _other_calls(requirements: Iterable[str]) -> str:
    if _STARTS & {*requirements}:
        return "system calls other than the start of a program, which the filter does not name"
    return "every event: the filter names no system call"


def _keys(where: Expression) -> list[str]:
    """Return what is unseen without rules of the user, which give events a key."""
    return [
        f"events with the key {value}, which need an audit rule of yours that gives them this key"
        for test in tests_of(where)
        if test.field in _KEY_FIELDS and test.operator in (Operator.EQUAL, Operator.WILDCARD)
        for value in test.values
    ]
