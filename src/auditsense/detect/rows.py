"""Selected fields of many events at a time, as tuples.

The core returns a field of all events of a batch as one column, so a few calls decode a batch. A row has the
values of the attributes of an `Event` with the same names.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final

from auditsense.core.hit import Column, ColumnForm
from auditsense.core.ring import Ring, text_buffer
from auditsense.core.rule_table import Field
from auditsense.detect import events
from auditsense.detect.record_reader import EVERY_EVENT, RingReader, exclusive, pack_datagrams
from auditsense.detections.fields import RECORD_FIELDS, Form
from auditsense.errors import UsageError, expect_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from auditsense.core.ring import Limits
    from auditsense.detect.host import Host

Row = tuple[Any, ...]

_PLAIN: Final = {
    row.attribute: (row.field, ColumnForm.TEXT if row.form is Form.TEXT else ColumnForm.NUMBER)
    for row in RECORD_FIELDS
    if row.attribute and row.form is not Form.LIST
}
_LISTS: Final = {row.attribute: row.field for row in RECORD_FIELDS if row.attribute and row.form is Form.LIST}
_OF_ID: Final = {"ms": ColumnForm.MS, "serial": ColumnForm.SERIAL}
_DERIVED: Final[dict[str, tuple[tuple[Field, ...], Callable[..., Any]]]] = {
    "arch": ((Field.ARCH,), events.arch_name),
    "syscall": ((Field.ARCH, Field.SYSCALL), events.call_name),
    "success": ((Field.SUCCESS,), events.outcome),
    "arguments": ((Field.A0, Field.A1, Field.A2, Field.A3), lambda *registers: registers),
    "key": ((Field.KEY,), lambda key: next(iter(events.split_keys(key)), None)),
    "keys": ((Field.KEY,), events.split_keys),
    "argv": ((Field.ARGS, Field.PROCTITLE), events.split_title),  # a batch at a time by _arguments
    "command_line": ((Field.ARGS,), lambda joined: joined),
    **{name: ((field,), events.split_list) for name, field in _LISTS.items()},
}
NAMES: Final = (*_OF_ID, *_DERIVED, *_PLAIN, "node")
"""The fields of rows: names of attributes of `Event`."""

_MOST_NAMES: Final = 1024  # cached names of calls; a log may contain any number
_MOST_ARCHS: Final = 16


def fields_of(names: Sequence[str]) -> frozenset[Field]:
    """Return the core's fields that these names are made of.

    Raises:
        UsageError: no name, a name that there is not, or a name twice.
    """
    single = isinstance(names, str | bytes) or not isinstance(names, Collection)
    unknown = [] if single else [name for name in names if name not in NAMES]
    if single or unknown or not names or len(set(names)) < len(names):
        problem = f"{', '.join(map(repr, unknown))} is no field of events" if unknown else f"fields={names!r}"
        raise UsageError(f"{problem}: give one or more names, each once, out of {', '.join(NAMES)}")
    fields: set[Field] = set()
    for name in names:
        if name in _DERIVED:
            fields.update(_DERIVED[name][0])
        elif name not in _OF_ID:
            fields.add(Field.NODE if name == "node" else _PLAIN[name][0])
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


class RowReader(RingReader):
    """Read a few fields of every event, as tuples; the fastest way to read them.

    A batch of events is decoded at a time. The methods that feed return iterators: nothing is read before it
    is asked for, so iterate to the end.

    Args:
        fields: names of attributes of `Event`, in the order of a row; all but `time` and `id`, which `ms` and
            `serial` replace. Each once.
        host: host of the records that name no node; this host by default.
        limits: capacity of the core.
        lean: records of the types in `unsent` need not come and are not awaited; rows lack them.
        make_ring: internal, for `Sensor`.
        titled: internal, for `Sensor`: EOE need not come, because each event has a PROCTITLE record.

    Raises:
        UsageError: no field, an unknown field or one given twice; a limit outside its bounds.
    """

    def __init__(  # noqa: PLR0913 - each has a default that most keep
        self,
        fields: Sequence[str],
        *,
        host: Host | None = None,
        limits: Limits | None = None,
        lean: bool = False,
        titled: bool = False,
        make_ring: Callable[..., Ring] = Ring,
    ) -> None:
        super().__init__(
            EVERY_EVENT,
            host=host,
            limits=limits,
            lean=lean,
            titled=titled,
            fields=fields_of(fields),
            make_ring=make_ring,
        )
        self.names = tuple(fields)
        self._calls: dict[str | None, _Calls] = {}
        self._wanted: list[tuple[Field, ColumnForm]] = []
        # The columns of each value, and their decoder.
        self._decoders: list[tuple[slice, Callable[[Sequence[Column]], Iterable[Any]]]] = []
        for name in fields:
            wanted, decode = self._column(name)
            self._decoders.append((slice(len(self._wanted), len(self._wanted) + len(wanted)), decode))
            self._wanted += wanted

    @exclusive
    def feed(self, datagrams: Iterable[bytes], now_ms: int = 0) -> Iterator[Row]:
        """Read datagrams as received from the kernel; see `EventReader.feed`."""
        packed = pack_datagrams(datagrams, now_ms)
        return chain.from_iterable(self._batches(self.ring.feed, packed, now_ms))  # no generator step per row

    @exclusive
    def feed_text(self, text: bytes | memoryview, now_ms: int = 0) -> Iterator[Row]:
        """Read audit.log text, cut anywhere; see `EventReader.feed_text`."""
        expect_number("now_ms", now_ms)
        if now_ms:
            self.ring.expire(now_ms)
        return chain.from_iterable(self._batches(self.ring.feed_text, text_buffer(text)))

    @exclusive
    def tick(self, monotonic_ms: int = 0, *, log_ms: int | None = None) -> list[Row]:  # noqa: ARG002 - as of the others
        """Let time pass; see `EventReader.tick`."""
        expect_number("monotonic_ms", monotonic_ms)
        if monotonic_ms:
            self.ring.expire(monotonic_ms)
        return self.drain()

    def flush(self) -> list[Row]:
        """Return the rows of the open events."""
        return [*self.finish()]

    @exclusive
    def finish(self) -> Iterator[Row]:
        """End the input and yield the rows of the open events. More may be fed afterwards."""
        return chain.from_iterable(self._last_batches())

    @exclusive
    def drain(self) -> list[Row]:
        """Return the rows of what the core has completed since the last call."""
        return [*self._drain()]

    def _batches(
        self, feed: Callable[[bytes | memoryview], int], data: bytes | memoryview, now_ms: int = 0
    ) -> Iterator[Iterable[Row]]:
        rest = memoryview(data)
        while True:
            consumed = feed(rest)
            rest = rest[consumed:]
            rows = self._drain()
            yield rows
            if not self.ring.nearly_full if not rest else not consumed and not rows:
                break
        if now_ms:
            self.ring.expire(now_ms)
            yield self._drain()

    def _last_batches(self) -> Iterator[Iterable[Row]]:
        done = False
        while not done:
            done = self.ring.finish()
            yield self._drain()

    def _drain(self) -> Iterable[Row]:
        columns, drained = self.ring.drain_columns(self._wanted)
        if drained:  # one by one, then
            return [
                tuple(getattr(event, name) for name in self.names)
                for event in events.events_in(drained, self.host)
            ]
        if not columns:
            return ()
        # zip makes a tuple only where the one before was kept.
        return zip(*(decode(columns[part]) for part, decode in self._decoders), strict=True)

    def _column(
        self, name: str
    ) -> tuple[list[tuple[Field, ColumnForm]], Callable[[Sequence[Column]], Iterable[Any]]]:
        if name in _OF_ID:
            return [(Field.ARCH, _OF_ID[name])], _as_it_is
        if name == "node":
            return [(Field.NODE, ColumnForm.TEXT)], self._nodes
        if name in _PLAIN:
            return [_PLAIN[name]], _as_it_is
        fields, convert = _DERIVED[name]
        return {
            "syscall": (
                [(Field.ARCH, ColumnForm.TEXT), (Field.SYSCALL, ColumnForm.NUMBER)],
                self._call_names,
            ),
            "argv": ([*_list_columns(Field.ARGS), *_list_columns(Field.PROCTITLE)], _arguments),
            **{name: (_list_columns(field), _lists) for name, field in _LISTS.items()},
        }.get(name, ([(field, ColumnForm.TEXT) for field in fields], partial(_converted, convert)))

    def _nodes(self, columns: Sequence[Column]) -> Iterable[str]:
        node = self.host.name
        return [value or node for value in columns[0].values]

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


def _list_columns(field: Field) -> list[tuple[Field, ColumnForm]]:
    return [(field, ColumnForm.ARGUMENTS), (field, ColumnForm.ARGUMENT_COUNTS)]


def _lists(columns: Sequence[Column]) -> Iterable[tuple[str, ...]]:
    parts, counts = columns
    rest = iter(parts.values)
    for count in counts.values:
        values = tuple(islice(rest, count or 1))
        yield values if count else ()


def _arguments(columns: Sequence[Column]) -> Iterable[tuple[str, ...]]:
    return (args or title for args, title in zip(_lists(columns[:2]), _lists(columns[2:]), strict=True))


def _converted(convert: Callable[..., Any], columns: Sequence[Column]) -> Iterable[Any]:
    dictionary = columns[0].dictionary
    if len(columns) == 1 and dictionary is not None:
        values = [convert(text) for text in dictionary]
        return [values[code] for code in columns[0].codes]
    return map(convert, *(column.values for column in columns))
