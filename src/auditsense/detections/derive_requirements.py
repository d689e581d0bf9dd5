"""Requirements: what all events of a filter have in common, as far as an audit rule can test it.

`requirement_of` walks the tree of a filter for one system call. A test that the kernel can make narrows the
requirement. A test that it cannot make, or not exactly, leaves it as it is: a requirement may hold for events
that the filter does not select, never the reverse. The only exceptions are in `Requirement.unseen`, in words.

Tested by the kernel: registers, user and group ids, success, exit code, address family, places of files.
Never: names that a process gives itself, the working directory, titles, relative paths, and programs, because
`-F exe=` means a file of this host and not of a container.
"""

from __future__ import annotations

import errno
import os
import re
from dataclasses import dataclass, replace
from functools import cache, reduce
from typing import TYPE_CHECKING, Final, NamedTuple

from auditsense import syscalls
from auditsense._frozen import Frozen
from auditsense.detections import open_flags
from auditsense.detections.derive_numbers import EVERY, HIGHEST, Numbers
from auditsense.detections.event_table import OTHER_CALL, EventKind, EventMapping, kind_of_call
from auditsense.detections.expression import And, Constant, Expression, Not, Operator, Or, Test
from auditsense.detections.fields import SYSCALL_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

KEY: Final = "auditsense"
"""Key of every derived rule, and so of the events that it reports."""

_IDS: Final = {
    "user.id": "uid",
    "user.effective.id": "euid",
    "user.saved.id": "suid",
    "user.filesystem.id": "fsuid",
    "user.group.id": "gid",
    "user.effective.group.id": "egid",
    "user.audit.id": "auid",
}
"""Fields with an id in decimal, and the field of an audit rule with the same number."""
_REGISTERS: Final = {f"auditd.data.a{n}": f"a{n}" for n in range(4)}
"""Fields with a register in hex. A rule compares its low 32 bits."""
_OUTCOMES: Final = {
    "event.outcome": {"success": 1, "failure": 0},
    "auditd.result": {"success": 1, "fail": 0},
    "auditd.data.success": {"yes": 1, "no": 0},
}
_FAMILIES: Final = {"unix": 1, "ipv4": 2, "ipv6": 10, "netlink": 16}
_INTERNET: Final = Numbers.of([_FAMILIES["ipv4"], _FAMILIES["ipv6"]])
_ADDRESSED: Final = frozenset({"connect", "bind", "sendto", "sendmsg", "sendmmsg"})
"""Calls whose address the kernel remembers, so that a rule can test its family."""
_ENDPOINTS: Final = {"destination": "egress", "source": "ingress"}
"""ECS objects that only calls of one direction have."""
_ABSENT: Final = frozenset(
    {
        "auditd.data.class",
        "auditd.data.terminal",
        "auditd.data.addr",
        "auditd.data.hostname",
        "auditd.data.grantors",
        "auditd.data.acct",
        "auditd.data.unit",
    }
)
"""Fields that no event of a system call has: only records that user space writes."""
_FIXED: Final = {
    "auditd.data.key": (KEY,),
    "tags": (KEY,),
    "host.os.type": ("linux",),
    "data_stream.dataset": ("auditd_manager.auditd",),
}
_OPENS: Final = {"open": "a1", "openat": "a2", "openat2": ""}
"""Calls that can create a file, and the register with their flags; those of openat2 are in memory."""
_NO_PATH: Final = frozenset({"read", "write"})
"""Calls with a file, for which the kernel nevertheless never writes a PATH record."""
_PROCFS_ROOT: Final = "/proc"
_PER_PROCESS: Final = re.compile(r"/proc/(self|thread-self|[0-9]+)(/|$)")
_WILD: Final = re.compile(r"[*?]")


class Place(NamedTuple):
    """Place of an event's file.

    Attributes:
        kind: "path", "dir" (a folder and everything below it) or "inode".
        value: its path, or the number of the inode.
    """

    kind: str
    value: str


PROCFS_ROOTS: Final = Place("inode", "1")
"""The root of every procfs, also of containers. A rule with `path=/proc` sees none: it is a mount point."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """Requirements of an audit rule on a call.

    Attributes:
        numbers: of a field of a rule, its possible numbers; in the order of the fields, without `EVERY`.
        bits: of a register, bits that are all set; in the order of the registers.
        places: the file is at one of them; None: anywhere.
        sources: of the fields of a rule, also of "place", the tests that they come from.
        unseen: what the requirement leaves out although the filter selects it, one phrase each.
    """

    numbers: tuple[tuple[str, Numbers], ...] = ()
    bits: tuple[tuple[str, int], ...] = ()
    places: frozenset[Place] | None = None
    sources: frozenset[tuple[str, Test]] = frozenset()
    unseen: frozenset[str] = frozenset()

    def covers(self, other: Requirement) -> bool:
        """Return whether every call that *other* allows is allowed here as well."""
        theirs, their_bits = dict(other.numbers), dict(other.bits)
        return (
            all(own.covers(theirs.get(field, EVERY)) for field, own in self.numbers)
            and all(their_bits.get(field, 0) & own == own for field, own in self.bits)
            and (self.places is None or (other.places is not None and other.places <= self.places))
        )

    def without(self, field: str) -> Requirement:
        """Return the requirement without a field of a rule that compares numbers."""
        return replace(
            self,
            numbers=tuple(pair for pair in self.numbers if pair[0] != field),
            sources=frozenset(source for source in self.sources if source[0] != field),
        )

    def both(self, other: Requirement) -> Requirement | None:
        """Return what holds when both hold; None: they cannot."""
        numbers, theirs = dict(self.numbers), dict(other.numbers)
        for field, more in theirs.items():
            numbers[field] = numbers.get(field, EVERY).intersection(more)
            if numbers[field].is_empty:
                return None
        bits = dict(self.bits)
        for field, mask in other.bits:
            bits[field] = bits.get(field, 0) | mask
        return Requirement(
            _sorted_numbers(numbers),
            tuple(sorted(bits.items())),
            _narrower(self.places, other.places),
            self.sources | other.sources,
            self.unseen | other.unseen,
        )

    def either(self, other: Requirement) -> Requirement:
        """Return what holds when one of them holds."""
        theirs, their_bits = dict(other.numbers), dict(other.bits)
        numbers = {field: own.union(theirs.get(field, EVERY)) for field, own in self.numbers}
        bits = {field: own & their_bits.get(field, 0) for field, own in self.bits}
        places = None if self.places is None or other.places is None else self.places | other.places
        kept = {field for field, own in numbers.items() if not own.is_every}
        kept |= {field for field, own in bits.items() if own}
        kept |= set() if places is None else {"place"}
        return Requirement(
            _sorted_numbers(numbers),
            tuple(sorted((field, mask) for field, mask in bits.items() if mask)),
            places,
            frozenset(source for source in self.sources | other.sources if source[0] in kept),
            (self.unseen | other.unseen) if places is not None else frozenset(),
        )


ANY_CALL: Final = Requirement()


def _sorted_numbers(numbers: Mapping[str, Numbers]) -> tuple[tuple[str, Numbers], ...]:
    return tuple(sorted((field, own) for field, own in numbers.items() if not own.is_every))


def _narrower(places: frozenset[Place] | None, others: frozenset[Place] | None) -> frozenset[Place] | None:
    """Return the one of two sets of places that is seen at less cost: the file is in both."""
    if places is None or others is None:
        return others if places is None else places
    return min(places, others, key=lambda some: (any(place.kind == "dir" for place in some), len(some)))


@dataclass(slots=True, eq=False, repr=False)
class CallFacts(Frozen):
    """Facts that hold for every event of a system call.

    Attributes:
        name: of the call; None: one that neither the table of events nor the filter names.
        kind: its words.
        mapping: which words events have.
        machine: architecture by audit's name; the flags of an open differ between them.
        of_call: whether the event starts with a SYSCALL record.
    """

    name: str | None
    kind: EventKind
    mapping: EventMapping
    machine: str
    of_call: bool = True

    @classmethod
    def of(cls, name: str | None, mapping: EventMapping, machine: str) -> CallFacts:
        """Return what is known of a call."""
        kind = OTHER_CALL if name is None else kind_of_call(name, mapping)
        return cls(name, kind, mapping, machine if machine in syscalls.ARCHES else "x86_64")

    def constant(self, field: str) -> tuple[str, ...] | None:
        """Return the values of a field that is the same for every event of the call; None: it is not."""
        match field:
            case "event.category":
                return self.kind.category
            case "event.action":
                return self.kind.action
            case "event.type":
                return self.kind.type
            case "auditd.data.syscall":
                return None if self.name is None else (self.name,)
        return () if field in _ABSENT and self.of_call else _FIXED.get(field)


def named_calls(expression: Expression) -> set[str]:
    """Return the system calls that a tree compares `auditd.data.syscall` with."""
    match expression:
        case Test(field, Operator.EQUAL, values) if field == SYSCALL_NAME:
            return {str(value) for value in values}
        case And(terms) | Or(terms):
            return set().union(*map(named_calls, terms))
        case Not(term):
            return named_calls(term)
    return set()


def tests_of(expression: Expression) -> list[Test]:
    """Return the tests of a tree that are not negated, each once."""
    match expression:
        case Test():
            return [expression]
        case And(terms) | Or(terms):
            return list(dict.fromkeys(test for term in terms for test in tests_of(term)))
    return []


def fields_of(expression: Expression) -> set[str]:
    """Return the fields that a tree tests."""
    match expression:
        case Test(field):
            return {field}
        case And(terms) | Or(terms):
            return set().union(*map(fields_of, terms))
        case Not(term):
            return fields_of(term)
    return set()


def requirement_of(expression: Expression, facts: CallFacts, *, negated: bool = False) -> Requirement | None:
    """Return what every event of a call that a tree selects has in common; None: it selects none.

    Args:
        expression: the tree.
        facts: of the call.
        negated: whether the events are wanted that the tree does not select.
    """
    match expression:
        case Constant(value):
            return ANY_CALL if value is not negated else None
        case Not(term):
            return requirement_of(term, facts, negated=not negated)
        case And(terms) | Or(terms):
            parts = (requirement_of(term, facts, negated=negated) for term in terms)
            return _all(parts) if isinstance(expression, And) is not negated else _any(parts)
        case Test():
            return _of_test(expression, facts, negated=negated)


def _all(parts: Iterable[Requirement | None]) -> Requirement | None:
    result: Requirement | None = ANY_CALL
    for part in parts:
        if part is None or result is None:
            return None
        result = result.both(part)
    return result


def _any(parts: Iterable[Requirement | None]) -> Requirement | None:
    possible = [part for part in parts if part is not None]
    return reduce(Requirement.either, possible) if possible else None


def _of_test(test: Test, facts: CallFacts, *, negated: bool) -> Requirement | None:
    holds = _known(test, facts)
    if holds is None:
        return _of_kernel_test(test, facts, negated=negated)
    if holds is not negated:
        return ANY_CALL
    if test.field == "event.type" and not negated and _holds(test, ("creation",)) is not False:
        return _creating(test, facts)
    return None


def _known(test: Test, facts: CallFacts) -> bool | None:
    """Return whether a test holds for every event of the call, or for none; None: it depends on the event."""
    if test.field == SYSCALL_NAME and facts.name is None:
        # Another call than those that are named; a pattern may fit it.
        return False if test.operator is Operator.EQUAL else None
    values = facts.constant(test.field)
    if values is not None:
        return _holds(test, values)
    if test.field == "network.direction":  # absent where an event has no address
        return None if facts.kind.direction and _holds(test, (facts.kind.direction,)) is not False else False
    endpoint = _ENDPOINTS.get(test.field.partition(".")[0])
    return None if endpoint in (None, facts.kind.direction) else False


def _creating(test: Test, facts: CallFacts) -> Requirement | None:
    """Return the requirement of an open that creates a file: only then its type is `creation` as well."""
    if facts.name not in _OPENS or facts.mapping is not EventMapping.NATIVE:
        return None
    register = _OPENS[facts.name]
    if not register:
        return ANY_CALL
    create = int(open_flags.on_arch("O_CREAT", facts.machine), 16)
    return Requirement(bits=((register, create),), sources=frozenset({(register, test)}))


def _of_kernel_test(test: Test, facts: CallFacts, *, negated: bool) -> Requirement | None:
    """Return the requirement of a test that depends on the event."""
    if test.field in _IDS:
        return _of_ids(test, _IDS[test.field], negated=negated)
    if negated:
        # Of the other fields a rule sees less than the test: 32 of 64 bits, or no absent values.
        return ANY_CALL
    if test.field.startswith("file."):
        return None if facts.name in _NO_PATH else _of_file(test)
    if test.field in _REGISTERS:
        return _of_register(test, _REGISTERS[test.field], facts)
    if test.field in _OUTCOMES or test.field == "auditd.data.exit":
        return _of_result(test)
    families = _families(test) if facts.name in _ADDRESSED else None
    return ANY_CALL if families is None else _numbers("saddr_fam", families, test)


def _of_result(test: Test) -> Requirement | None:
    """Return the requirement of a test of the exit code, or of success."""
    if test.field == "auditd.data.exit":
        codes = _exit_codes(test)
        return ANY_CALL if codes is None else _numbers("exit", Numbers.of(codes), test)
    known, outcomes = _OUTCOMES[test.field], _texts(test)
    if outcomes is None or not outcomes <= known.keys():
        return ANY_CALL
    return _numbers("success", Numbers.of(known[text] for text in outcomes), test)


def _numbers(field: str, numbers: Numbers, test: Test) -> Requirement | None:
    if numbers.is_empty:
        return None
    return Requirement(numbers=_sorted_numbers({field: numbers}), sources=frozenset({(field, test)}))


def _of_ids(test: Test, field: str, *, negated: bool) -> Requirement | None:
    numbers: Numbers | None = None
    limit = test.values[0] if len(test.values) == 1 else None
    match test.operator, limit:
        case ((Operator.EQUAL | Operator.WILDCARD | Operator.MASKED), _):
            ids = _decimals(test)
            numbers = None if ids is None else Numbers.of(ids)
        case Operator.LESS, int(limit):
            numbers = Numbers.from_ranges([(0, limit - 1)])
        case Operator.AT_MOST, int(limit):
            numbers = Numbers.from_ranges([(0, min(limit, HIGHEST))])
        case Operator.GREATER, int(limit):
            numbers = Numbers.from_ranges([(max(limit + 1, 0), HIGHEST)])
        case Operator.AT_LEAST, int(limit):
            numbers = Numbers.from_ranges([(max(limit, 0), HIGHEST)])
    if numbers is None:
        return ANY_CALL
    numbers = numbers.complement() if negated else numbers
    if field != "auid":
        # No process has the highest number as an id, and the kernel takes no rule that compares one with it.
        unused = Numbers.of([HIGHEST])
        has_neighbour = HIGHEST - 1 in numbers
        numbers = numbers.union(unused) if has_neighbour else numbers.intersection(unused.complement())
    return _numbers(field, numbers, test)


def _of_register(test: Test, field: str, facts: CallFacts) -> Requirement | None:
    match test.operator:
        case Operator.EQUAL | Operator.WILDCARD:
            texts = _texts(test)
            numbers = None if texts is None else _hex_numbers(texts)
        case Operator.OPEN_FLAGS:
            numbers = _hex_numbers(open_flags.on_arch(str(value), facts.machine) for value in test.values)
        case Operator.MASKED if test.mask & HIGHEST == HIGHEST:
            numbers = [int(value) for value in test.values]
        case Operator.MASKED:
            bits = reduce(int.__and__, (int(value) & test.mask for value in test.values), HIGHEST)
            if not bits:
                return ANY_CALL
            return Requirement(bits=((field, bits),), sources=frozenset({(field, test)}))
        case _:
            numbers = None
    return ANY_CALL if numbers is None else _numbers(field, Numbers.of(numbers), test)


def _hex_numbers(texts: Iterable[str]) -> list[int] | None:
    """Return registers of their texts; None: one is no number in hex, so it is not known what it compares."""
    try:
        return [int(text, 16) for text in texts]
    except ValueError:
        return None


def _texts(test: Test) -> set[str] | None:
    """Return the only texts that a test takes; None: patterns, or another comparison."""
    texts = {str(value) for value in test.values}
    if test.operator is Operator.EQUAL:
        return {text.lower() for text in texts} if test.fold_case else texts
    if test.operator is Operator.WILDCARD and not any(map(_WILD.search, texts)):
        return {text.lower() for text in texts} if test.fold_case else texts
    return None


def _decimals(test: Test) -> list[int] | None:
    """Return the only numbers that a test of an id takes; None: unknown."""
    if test.operator is Operator.MASKED:
        return [int(value) for value in test.values] if test.mask & HIGHEST == HIGHEST else None
    texts = _texts(test)
    if texts is None or not all(text.isascii() and text.isdigit() for text in texts):
        return None
    numbers = [int(text) for text in texts]
    canonical = all(str(number) in texts and number <= HIGHEST for number in numbers)
    return numbers if canonical else None


def _exit_codes(test: Test) -> list[int] | None:
    """Return the only exit codes that a test takes; None: unknown. A failure may be a name, as EACCES."""
    if test.operator is not Operator.EQUAL:
        return None
    codes = []
    for value in test.values:
        text = str(value)
        code = getattr(errno, text, None) if text.startswith("E") else None
        if isinstance(code, int):
            codes.append(-code)
        elif re.fullmatch(r"-?[0-9]{1,18}", text):
            codes.append(int(text))
        else:
            return None
    return codes


def _families(test: Test) -> Numbers | None:
    """Return the address families that a test takes; None: unknown."""
    if test.field == "auditd.data.socket.family":
        texts = _texts(test)
        if texts is None:
            return None
        numbers = [_FAMILIES.get(text, int(text) if text.isdecimal() else -1) for text in texts]
        return None if -1 in numbers else Numbers.of(numbers)
    match test.field.rpartition(".")[2]:
        case "ip" | "port":
            return _INTERNET
        case "address" | "path":
            texts = _texts(test)
            if texts and all(text.startswith(("/", "@")) for text in texts):
                return Numbers.of([_FAMILIES["unix"]])
    return None


# --- places ------------------------------------------------------------------------------


def _at(places: set[Place], test: Test, unseen: Iterable[str] = ()) -> Requirement:
    return Requirement(
        places=frozenset(places), sources=frozenset({("place", test)}), unseen=frozenset(unseen)
    )


def _of_file(test: Test) -> Requirement:
    if test.field == "file.path":
        return _of_paths(test)
    inodes = _decimals(test) if test.field == "file.inode" else None
    return _at({Place("inode", str(number)) for number in inodes}, test) if inodes else ANY_CALL


def _of_paths(test: Test) -> Requirement:
    """Return where a test of a path looks; `Requirement.unseen` names the paths that have no place."""
    if test.operator not in (Operator.EQUAL, Operator.WILDCARD):
        return ANY_CALL
    patterns = test.operator is Operator.WILDCARD
    places: set[Place] = set()
    unseen: list[str] = []
    for value in map(str, test.values):
        place = _place(value, patterns=patterns)
        if place is not None:
            places.add(place)
            if test.fold_case and value.lower() != value.upper():
                unseen.append(f"a path that differs from {value} in case")
        elif value.startswith("/") or (patterns and value[:1] in "*?"):
            return ANY_CALL
        else:
            unseen.append(f"a file opened by the relative name {value} in another folder")
    return _at(places, test, unseen) if places else ANY_CALL


def _place(text: str, *, patterns: bool) -> Place | None:
    """Return where the files of one value are; None: anywhere."""
    if not text.startswith("/") or "\0" in text:
        return None
    wild = _WILD.search(text) if patterns else None
    if wild is not None:
        folder = text[: wild.start()].rpartition("/")[0]
        return Place("dir", os.path.normpath(folder)) if folder.strip("/") else None
    path = "/" + os.path.normpath(text).lstrip("/")
    if path == "/":
        return None
    if path == _PROCFS_ROOT:
        return PROCFS_ROOTS
    return Place("dir", _PROCFS_ROOT) if _PER_PROCESS.match(path) else Place("path", path)


# --- constants ---------------------------------------------------------------------------


def _holds(test: Test, values: tuple[str, ...]) -> bool | None:
    """Return whether a test holds for these values; None: unknown."""
    match test.operator:
        case Operator.PRESENT:
            return bool(values)
        case Operator.EQUAL:
            wanted = {str(value) for value in test.values}
            if test.fold_case:
                return bool({value.lower() for value in values} & {text.lower() for text in wanted})
            return bool({*values} & wanted)
        case Operator.WILDCARD:
            fits = _pattern(tuple(map(str, test.values)), fold_case=test.fold_case)
            return any(map(fits, values))
    return None if values else False


@cache
def _pattern(patterns: tuple[str, ...], *, fold_case: bool) -> Callable[[str], re.Match[str] | None]:
    parts = {"*": ".*", "?": "."}
    text = "|".join("".join(parts.get(sign, re.escape(sign)) for sign in pattern) for pattern in patterns)
    return re.compile(text, re.DOTALL | (re.IGNORECASE if fold_case else 0)).fullmatch
