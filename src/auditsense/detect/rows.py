"""Chosen fields of many events at a time, as tuples.

The core lays a field of all the events of a batch side by side, and a few calls decode a batch, instead of a
few for every event. What a row holds is what the attributes of that name of an `Event` say.
"""

from __future__ import annotations

from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from auditsense.core.hit import Column, ColumnForm
from auditsense.core.rule_table import Field
from auditsense.detect import events
from auditsense.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from auditsense.core.ring import Ring
    from auditsense.detect.host import Host

_TEXTS: Final = {
    "comm": Field.COMM,
    "exe": Field.EXE,
    "cwd": Field.CWD,
    "path": Field.PATH_NAME,
    "title": Field.PROCTITLE,
    "tty": Field.TTY,
}
_NUMBERS: Final = {
    "exit": Field.EXIT,
    "pid": Field.PID,
    "ppid": Field.PPID,
    "session": Field.SES,
    "auid": Field.AUID,
    "uid": Field.UID,
    "euid": Field.EUID,
    "suid": Field.SUID,
    "fsuid": Field.FSUID,
    "gid": Field.GID,
    "egid": Field.EGID,
    "sgid": Field.SGID,
    "fsgid": Field.FSGID,
}
_OF_ID: Final = {"ms": ColumnForm.MS, "serial": ColumnForm.SERIAL}
_DERIVED: Final[dict[str, tuple[tuple[Field, ...], Callable[..., Any]]]] = {
    "arch": ((Field.ARCH,), events.arch_name),
    "syscall": ((Field.ARCH, Field.SYSCALL), events.call_name),
    "success": ((Field.SUCCESS,), events.outcome),
    "arguments": ((Field.A0, Field.A1, Field.A2, Field.A3), lambda *registers: registers),
    "key": ((Field.KEY,), lambda key: next(iter(events.split_keys(key)), None)),
    "keys": ((Field.KEY,), events.split_keys),
    "argv": ((Field.PROCTITLE,), events.split_title),  # a batch at a time by _titles
}
NAMES: Final = (*_OF_ID, *_DERIVED, *_TEXTS, *_NUMBERS, "node")
"""What may be asked for: the attributes of `Event` of these names."""

_MOST_NAMES: Final = 1024  # of calls that are remembered; a log may hold any number
_MOST_ARCHS: Final = 16


def fields_of(names: Sequence[str]) -> frozenset[Field]:
    """Return the core's fields that these names are made of.

    Raises:
        UsageError: no name, a name that there is not, or a name twice.
    """
    one = isinstance(names, str)
    unknown = [] if one else [name for name in names if name not in NAMES]
    if one or unknown or not names or len(set(names)) < len(names):
        what = f"{', '.join(map(repr, unknown))} is no field of events" if unknown else f"fields={names!r}"
        raise UsageError(f"{what}: give one or more names, each once, out of {', '.join(NAMES)}")
    fields: set[Field] = set()
    for name in names:
        if name in _DERIVED:
            fields.update(_DERIVED[name][0])
        elif name not in _OF_ID:
            fields.add(Field.NODE if name == "node" else {**_TEXTS, **_NUMBERS}[name])
    return frozenset(fields)


class _Calls(dict["int | None", "str | None"]):
    """Names of one architecture's calls, by number."""

    def __init__(self, arch: str | None) -> None:
        super().__init__()
        self._arch = arch

    def __missing__(self, number: int | None) -> str | None:
        name = None if number is None else events.call_name(self._arch, str(number))
        if len(self) < _MOST_NAMES:
            self[number] = name
        return name


class Rows:
    """Reads the chosen fields of what the core hands out.

    Args:
        names: as `fields_of`, in the order of a row.
        host: whose name is the node of events that name none.
    """

    def __init__(self, names: Sequence[str], host: Host) -> None:
        self.fields = fields_of(names)
        self.names = tuple(names)
        self.host = host
        self._calls: dict[str | None, _Calls] = {}
        self._wanted: list[tuple[Field, ColumnForm]] = []
        # Which of the columns make which value.
        self._made: list[tuple[slice, Callable[[Sequence[Column]], Iterable[Any]]]] = []
        for name in names:
            wanted, made = self._column(name)
            self._made.append((slice(len(self._wanted), len(self._wanted) + len(wanted)), made))
            self._wanted += wanted

    def fed(
        self, ring: Ring, feed: Callable[[bytes | memoryview], int], given: bytes | memoryview
    ) -> Iterator[tuple[Any, ...]]:
        """Give *ring* all of this by *feed*, its method, and yield the rows of what that completes."""
        return chain.from_iterable(self._fed(ring, feed, given))  # no step of a generator for a row

    def last(self, ring: Ring) -> Iterator[tuple[Any, ...]]:
        """End the input of *ring*, and yield the rows of what was open."""
        return chain.from_iterable(self._last(ring))

    def _fed(
        self, ring: Ring, feed: Callable[[bytes | memoryview], int], given: bytes | memoryview
    ) -> Iterator[Iterable[tuple[Any, ...]]]:
        rest = memoryview(given)
        while True:
            consumed = feed(rest)
            rest = rest[consumed:]
            drained = self.drain(ring)
            yield drained
            if not ring.crowded if not rest else not consumed and not drained:
                return

    def _last(self, ring: Ring) -> Iterator[Iterable[tuple[Any, ...]]]:
        done = False
        while not done:
            done = ring.finish()
            yield self.drain(ring)

    def drain(self, ring: Ring) -> Iterable[tuple[Any, ...]]:
        """Take what *ring* has found: a tuple for each event; the empty one when there is none."""
        columns, drained = ring.drain_columns(self._wanted)
        if drained:  # one by one, then
            found = events.events_in(drained, self.host)
            return [tuple(getattr(event, name) for name in self.names) for event in found]
        if not columns:
            return ()
        # zip makes a tuple only where the one before was kept.
        return zip(*(made(columns[taken]) for taken, made in self._made), strict=True)

    def _column(
        self, name: str
    ) -> tuple[list[tuple[Field, ColumnForm]], Callable[[Sequence[Column]], Iterable[Any]]]:
        if name in _OF_ID:
            return [(Field.ARCH, _OF_ID[name])], _as_it_is
        if name == "node":
            return [(Field.NODE, ColumnForm.TEXT)], self._nodes
        if name in _TEXTS:
            return [(_TEXTS[name], ColumnForm.TEXT)], _as_it_is
        if name in _NUMBERS:
            return [(_NUMBERS[name], ColumnForm.NUMBER)], _as_it_is
        fields, made = _DERIVED[name]
        return {
            "syscall": (
                [(Field.ARCH, ColumnForm.TEXT), (Field.SYSCALL, ColumnForm.NUMBER)],
                self._call_names,
            ),
            "argv": (
                [(Field.PROCTITLE, ColumnForm.ARGUMENTS), (Field.PROCTITLE, ColumnForm.ARGUMENT_COUNTS)],
                _titles,
            ),
        }.get(name, ([(field, ColumnForm.TEXT) for field in fields], partial(_made_of, made)))

    def _nodes(self, columns: Sequence[Column]) -> Iterable[str]:
        node = self.host.name
        return [one or node for one in columns[0].values]

    def _call_names(self, columns: Sequence[Column]) -> Iterable[str | None]:
        archs, numbers = columns
        if archs.dictionary is not None and len(set(archs.codes)) == 1:
            return map(self._calls_of(archs.values[0]), numbers.values)
        return [
            self._calls_of(arch)(number) for arch, number in zip(archs.values, numbers.values, strict=True)
        ]

    def _calls_of(self, arch: str | None) -> Callable[[int | None], str | None]:
        calls = self._calls.get(arch)
        if calls is None:
            if len(self._calls) == _MOST_ARCHS:
                self._calls.clear()
            calls = self._calls[arch] = _Calls(arch)
        return calls.__getitem__


def _as_it_is(columns: Sequence[Column]) -> list[Any]:
    return columns[0].values


def _titles(columns: Sequence[Column]) -> Iterable[tuple[str, ...]]:
    parts, counts = columns
    rest = iter(parts.values)
    for count in counts.values:
        arguments = tuple(islice(rest, count or 1))
        yield arguments if count else ()


def _made_of(made: Callable[..., Any], columns: Sequence[Column]) -> Iterable[Any]:
    dictionary = columns[0].dictionary
    if len(columns) == 1 and dictionary is not None:
        values = [made(text) for text in dictionary]
        return [values[code] for code in columns[0].codes]
    return map(made, *(column.values for column in columns))
