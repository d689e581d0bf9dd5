"""Audit rules from requirements: merged, with their cost, as lines in the syntax of auditctl.

A selection is what one rule can express: some system calls, what is required of them, and one place at most.
A rule names its calls (`-S`) instead of a permission (`-p`): a permission stands for other calls in each
version of the kernel, and some of them are frequent.
"""

from __future__ import annotations

import enum
import itertools
import shlex
from dataclasses import dataclass, replace
from functools import reduce
from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense.detections.derive_numbers import Comparison, Numbers
from auditsense.detections.derive_requirements import KEY, Requirement

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HEX: Final = frozenset({"a0", "a1", "a2", "a3"})
_MOST_ALTERNATIVES: Final = 8
"""Rules that one selection may become on one architecture, at most."""
_MOST_OF_A_CALL: Final = 8
"""Rules of one call without a place: the kernel compares each with every such call."""
_MOST_NAMED: Final = 16
"""Calls on one file that a rule names; a rule for more of them is one for every call on this file."""
_DEEPEST_BROAD: Final = 1
"""Depth of a broad folder, such as /proc or /etc: most programs open something below it."""

_FREQUENT: Final = frozenset(
    """
    open openat openat2 close read write readv writev pread64 pwrite64 preadv pwritev lseek sendfile splice
    stat lstat fstat newstat stat64 lstat64 fstat64 fstatat fstatat64 newfstatat statx statfs fstatfs
    access faccessat faccessat2 readlink readlinkat getdents getdents64 getxattr lgetxattr fgetxattr
    mmap mmap2 munmap brk mremap madvise futex poll ppoll select pselect6 epoll_wait epoll_pwait epoll_ctl
    ioctl fcntl fcntl64 dup dup2 dup3 pipe pipe2 recv recvfrom recvmsg recvmmsg send sendto sendmsg sendmmsg
    clone clone3 fork vfork exit exit_group wait4 waitid rt_sigaction rt_sigprocmask rt_sigreturn getpid
    clock_gettime gettimeofday nanosleep clock_nanosleep
    """.split()  # noqa: SIM905 - many words
)
"""Calls that programs make all the time."""
_OPENS: Final = frozenset({"open", "openat", "openat2"})
_MODERATE: Final = frozenset({"execve", "execveat", "connect", "mprotect", "socket", "accept", "accept4"})


class Cost(enum.IntEnum):
    """Cost of the events of a rule, in increasing order."""

    FREE = 0
    """One file: the kernel looks for the rule only when a call uses this file."""
    LOW = 1
    """Calls that are rarely made, or are rarely made this way."""
    MODERATE = 2
    """Calls that most programs make when they start or connect."""
    HIGH = 3
    """Calls that programs make all the time. Such rules are added only when asked for."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Calls that one rule selects on each architecture.

    Attributes:
        calls: names; not empty.
        requirement: of them, with one place at most.
        detections: ids of those that need it.
    """

    calls: frozenset[str]
    requirement: Requirement
    detections: frozenset[str] = frozenset()

    @property
    def cost(self) -> Cost:
        """Cost of the events."""
        return max(_cost(call, self.requirement) for call in self.calls)

    def covers(self, other: Selection) -> bool:
        """Return whether it selects everything that *other* selects."""
        return self.calls >= other.calls and self.requirement.covers(other.requirement)


def _cost(call: str, requirement: Requirement) -> Cost:
    for place in requirement.places or ():
        if place.kind != "dir":
            return Cost.FREE
        if place.value.count("/") > _DEEPEST_BROAD:
            return Cost.LOW
    exact = any(len(numbers.ranges) <= 1 for field, numbers in requirement.numbers if field in _HEX)
    if call in _FREQUENT:
        # A certain register makes other calls rare, but most opens have the same flags.
        return Cost.LOW if exact and call not in _OPENS else Cost.HIGH
    return Cost.MODERATE if call in _MODERATE and not exact else Cost.LOW


def selections_of(calls: Iterable[str], requirement: Requirement, detection: str) -> list[Selection]:
    """Return what a detection needs of calls with the same requirement: one selection for each place."""
    kept = frozenset(calls)
    return [
        Selection(kept, single, frozenset({detection}))
        for single in ([requirement] if requirement.places is None else _each_place(requirement))
    ]


def _each_place(requirement: Requirement) -> list[Requirement]:
    return [replace(requirement, places=frozenset({place})) for place in sorted(requirement.places or ())]


def merged(selections: Iterable[Selection]) -> list[Selection]:
    """Return few selections for everything that these select, cheap ones first.

    One that another covers is left out. Those that differ only in their calls become one.
    """
    kept = _by_requirement(_by_call(selections))
    return sorted(kept, key=_order)


def _order(selection: Selection) -> tuple[int, list[str], str]:
    places = selection.requirement.places
    kind = 0 if places is None else 1 if any(place.kind == "dir" for place in places) else -1
    return kind, sorted(selection.calls), repr(sorted(places or ()))


def _by_call(selections: Iterable[Selection]) -> list[Selection]:
    """Return the selections cut into single calls, without those that another of the call covers."""
    of_call: dict[str, list[Selection]] = {}
    for selection in selections:
        for call in selection.calls:
            of_call.setdefault(call, []).append(replace(selection, calls=frozenset({call})))
    return [kept for call in sorted(of_call) for kept in _uncovered(_few(of_call[call]))]


def _uncovered(selections: Sequence[Selection]) -> list[Selection]:
    kept: list[Selection] = []
    for selection in selections:
        if any(other.covers(selection) for other in kept):
            kept = [
                replace(other, detections=other.detections | selection.detections)
                if other.covers(selection)
                else other
                for other in kept
            ]
            continue
        covered = [other for other in kept if selection.covers(other)]
        users = selection.detections.union(*(other.detections for other in covered))
        kept = [*(other for other in kept if other not in covered), replace(selection, detections=users)]
    return kept


def _few(selections: Sequence[Selection]) -> list[Selection]:
    """Return selections of one call, those without a place joined into one if they are many."""
    uncovered = _uncovered(selections)
    free = [selection for selection in uncovered if selection.requirement.places is None]
    if len(free) <= _MOST_OF_A_CALL:
        return uncovered
    requirement = reduce(Requirement.either, (selection.requirement for selection in free))
    users = frozenset[str]().union(*(selection.detections for selection in free))
    rest = [selection for selection in uncovered if selection.requirement.places is not None]
    return [*rest, Selection(free[0].calls, requirement, users)]


def _by_requirement(selections: Iterable[Selection]) -> list[Selection]:
    """Return selections with the calls of those that require the same."""
    groups: dict[tuple[object, ...], list[Selection]] = {}
    for selection in selections:
        required = selection.requirement
        key = (required.numbers, required.bits, required.places, selection.cost is Cost.HIGH)
        groups.setdefault(key, []).append(selection)
    return [
        Selection(
            frozenset[str]().union(*(selection.calls for selection in group)),
            replace(
                group[0].requirement,
                sources=frozenset().union(*(selection.requirement.sources for selection in group)),
                unseen=frozenset[str]().union(*(selection.requirement.unseen for selection in group)),
            ),
            frozenset[str]().union(*(selection.detections for selection in group)),
        )
        for group in groups.values()
    ]


# --- as text -----------------------------------------------------------------------------


def lines_of(selection: Selection, machine: str) -> list[str]:
    """Return the rules of a selection in auditctl's syntax, for each architecture that programs here have.

    Args:
        selection: what they select.
        machine: this machine's architecture by audit's name.

    >>> lines_of(Selection(frozenset({"kill"}), Requirement()), "aarch64")[0]
    '-a always,exit -F arch=b64 -S kill -k auditsense'
    """
    lines = []
    if _is_about_file(selection):
        return [
            " ".join(["-a always,exit -S all", *conditions, f"-k {KEY}"])
            for conditions in _alternatives(selection.requirement)
        ]
    for width, arch in _widths(machine):
        numbers = {call: syscalls.number(call, arch) for call in selection.calls}
        # Some names are one call: by its number it is named once.
        names = {number: call for call, number in sorted(numbers.items(), reverse=True) if number is not None}
        if not names:
            continue
        calls = ",".join(names[number] for number in sorted(names))
        for conditions in _alternatives(selection.requirement):
            words = [f"-a always,exit -F arch={width} -S {calls}", *conditions, f"-k {KEY}"]
            lines.append(" ".join(words))
    if lines and _is_of_ring(selection):
        lines += [
            " ".join(["-a always,exit -S 0", *conditions, f"-k {KEY}"])
            for conditions in _alternatives(selection.requirement)
        ]
    return lines


def _is_of_ring(selection: Selection) -> bool:
    """Return whether a selection is for an inode that a thread of io_uring may open.

    Such a thread makes no system call: the kernel asks the rules of an inode, as for call 0 without an
    architecture. A rule with an architecture never fits.
    """
    required = selection.requirement
    registers = bool(required.bits) or any(field in _HEX for field, _ in required.numbers)
    operations = any(syscalls.ring_operation(call) is not None for call in selection.calls)
    return operations and not registers and any(place.kind == "inode" for place in required.places or ())


def _is_about_file(selection: Selection) -> bool:
    """Return whether a selection is for a file, and for more of its calls than a rule should name."""
    required = selection.requirement
    at_file = any(place.kind == "path" for place in required.places or ())
    registers = bool(required.bits) or any(field in _HEX for field, _ in required.numbers)
    return at_file and not registers and len(selection.calls) > _MOST_NAMED


def _widths(machine: str) -> list[tuple[str, str]]:
    """Return b64 and b32 with their architectures, as far as this machine runs them."""
    if machine not in syscalls.ARCHES:
        return []
    narrow = syscalls.narrow_arch(machine)
    if not syscalls.ARCHES[machine] & 0x8000_0000:
        return [("b32", machine)]
    return [("b64", machine)] + ([("b32", narrow)] if narrow is not None else [])


def _alternatives(requirement: Requirement) -> list[list[str]]:
    """Return the conditions of each rule; at most `_MOST_ALTERNATIVES`."""
    fields = [(field, numbers) for field, numbers in requirement.numbers]
    while _product(fields) > _MOST_ALTERNATIVES:
        widest = max(fields, key=lambda item: len(item[1].alternatives()))
        ranges = widest[1].ranges
        hull = Numbers.from_ranges([(ranges[0][0], ranges[-1][1])])
        fields[fields.index(widest)] = (widest[0], hull)
    places = [f"-F {place.kind}={shlex.quote(place.value)}" for place in requirement.places or ()]
    bits = [
        f"-F {field}{'&' if mask.bit_count() == 1 else '&='}{mask:#x}" for field, mask in requirement.bits
    ]
    choices = itertools.product(*(numbers.alternatives() for _, numbers in fields))
    return [[*places, *_words([field for field, _ in fields], choice), *bits] for choice in choices]


def _product(fields: Sequence[tuple[str, Numbers]]) -> int:
    count = 1
    for _, numbers in fields:
        count *= len(numbers.alternatives())
    return count


def _words(fields: Sequence[str], choice: Sequence[Sequence[Comparison]]) -> list[str]:
    return [
        f"-F {field}{comparison.sign}{_number(field, comparison.number)}"
        for field, comparisons in zip(fields, choice, strict=True)
        for comparison in comparisons
    ]


def _number(field: str, number: int) -> str:
    if field in _HEX:
        return f"{number:#x}"
    if field == "auid" and number == 0xFFFF_FFFF:
        return "unset"
    if field == "exit" and number >= 0x8000_0000:
        return str(number - 0x1_0000_0000)
    return str(number)
