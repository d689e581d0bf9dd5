"""Exceptions of detections, from the detection's file and from other files.

The core applies exceptions before it counts: an event that one takes is not a match. All conditions of an
exception must hold; one exception of a detection is enough.

Rule 1: an absent field matches no condition, except one that requires its absence.
Rule 2: the event's stamp decides whether an exception has expired, not a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from auditsense._values import did_you_mean, table, text
from auditsense.detections.compiler import compile_exception
from auditsense.detections.model import Detection, DetectionException
from auditsense.detections.toml_table import Mistakes, TomlTable, conditions
from auditsense.errors import DetectionError, expect

if TYPE_CHECKING:
    from collections.abc import Sequence


def exception_from(
    value: object, where: str, *, detection: str | None = None, origin: str = ""
) -> DetectionException:
    """Read one exception from what its TOML would hold.

    Args:
        value: its keys and values: ``match``, ``comment``, ``expires``, and ``detection`` outside of a
            detection.
        where: what to call it in errors.
        detection: id of its detection; None: that of the table.
        origin: its file, for messages.

    Raises:
        DetectionError: it is not an exception; the message says which key is wrong, and what is expected.
    """
    mistakes = Mistakes(where)
    entry = TomlTable(where, value, mistakes)
    of = entry.read("detection", text) if detection is None else detection
    match = TomlTable(f"{where}: match", entry.read("match", table))
    comment = entry.read("comment", text).strip()
    expires = entry.read_any("expires")
    compared = conditions(f"{where}: match", match, mistakes)
    entry.done()
    mistakes.check()
    if not comment:
        raise DetectionError(f"{where}: comment must state why this is harmless")
    exception = DetectionException(
        detection=of,
        match=compared,
        comment=comment,
        expires_ms=None if expires is None else expiry_ms(where, expires),
        origin=origin,
    )
    _check(exception, where)
    return exception


def except_for(
    detection: str,
    *,
    match: Mapping[str, Any],
    comment: str,
    expires: date | datetime | str | None = None,
    origin: str = "code",
) -> DetectionException:
    """Return an exception from Python values, with the keys, checks and errors of a file.

    Args:
        detection: id of the detection.
        match: as in `define`; all must hold.
        comment: why it is harmless.
        expires: from when on it is not in force: a date (its first moment, UTC) or a time with its zone.
        origin: its file, for messages.

    Raises:
        DetectionError: a value is not what it must be.
    """
    expect("match", match, Mapping, 'a mapping of fields to values, as {"process.name": "ps"}')
    plain = {
        name: list(value) if isinstance(value, tuple | set | frozenset) else value
        for name, value in match.items()
    }
    expect("detection", detection, str, "the id of a detection")
    entry: dict[str, Any] = {"match": plain, "comment": comment}
    if expires is not None:
        entry["expires"] = expires
    return exception_from(entry, f"exception of {detection!r}", detection=detection, origin=origin)


def expiry_ms(where: str, value: object) -> int:
    """Return when an exception ends, in ms since 1970 UTC."""
    moment = value
    if isinstance(value, str):
        try:
            moment = date.fromisoformat(value) if "T" not in value else datetime.fromisoformat(value)
        except ValueError:
            moment = None
    if isinstance(moment, date) and not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if not isinstance(moment, datetime):
        raise DetectionError(
            f"{where}: expires must be a date or a time, as 2027-01-31 or 2027-01-31T08:00:00Z"
        )
    if moment.tzinfo is None:
        raise DetectionError(f"{where}: expires needs its zone, as in {moment.isoformat()}Z")
    try:
        ms = round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1000)
    except OverflowError:
        ms = -1
    if ms < 0:
        raise DetectionError(f"{where}: expires must be after 1970")
    return ms


def with_exceptions(
    detections: Sequence[Detection], exceptions: Iterable[DetectionException]
) -> tuple[Detection, ...]:
    """Return the detections with these exceptions in addition to their own.

    Args:
        detections: any number.
        exceptions: from `except_for`, `load_exceptions` or `known_harmless`; each names its detection.

    Raises:
        DetectionError: an exception names a detection that is not among them.
        UsageError: not detections, or not exceptions.
    """
    expect("detections", detections, Iterable, "a list of detections")
    for detection in detections:
        expect("detections", detection, Detection, "what define(…) and load_detections(…) return")
    expect("exceptions", exceptions, Iterable, "a list of exceptions")
    more: dict[str, list[DetectionException]] = {detection.id: [] for detection in detections}
    for exception in exceptions:
        expect(
            "exceptions", exception, DetectionException, "what except_for(…) and load_exceptions(…) return"
        )
        if exception.detection not in more:
            where = f"{exception.origin}: " if exception.origin else ""
            raise DetectionError(
                f"{where}an exception is of {exception.detection!r}, and there is no such detection"
                f"{did_you_mean(exception.detection, more)}"
            )
        more[exception.detection].append(exception)
    return tuple(
        replace(detection, exceptions=(*detection.exceptions, *more[detection.id]))
        if more[detection.id]
        else detection
        for detection in detections
    )


def excepted_by(counted: Iterable[tuple[DetectionException, int]]) -> list[dict[str, object]]:
    """Return each exception and the number of its events, as plain values."""
    return [
        {
            "detection": exception.detection,
            "comment": exception.comment,
            "origin": exception.origin,
            "events": count,
        }
        for exception, count in counted
    ]


def _check(exception: DetectionException, where: str) -> None:
    try:
        compile_exception(exception)
    except DetectionError as error:
        raise DetectionError(f"{where}: {error}") from None
