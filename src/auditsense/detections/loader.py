"""Detections from TOML, our own format and Elastic's: the shipped ones, and those of a path.

Every error names the file, the key and what is expected there.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from auditsense._file_trust import read_trusted_text, require_trusted_path
from auditsense._resources import packaged_file, packaged_names, packaged_text
from auditsense._toml import TomlError
from auditsense._toml import parse as parse_toml
from auditsense._values import (
    WrongValueError,
    choice,
    did_you_mean,
    duration_ms,
    flag,
    items,
    shown,
    table,
    text,
    texts,
    whole,
)
from auditsense.detections.compiler import check_detection
from auditsense.detections.elastic import (
    LANGUAGES,
    RefusedRuleError,
    detection_of_rule,
    is_elastic,
    reason_to_skip,
)
from auditsense.detections.exceptions import exception_from, with_exceptions
from auditsense.detections.expression import Constant, Query, QueryKind, Step
from auditsense.detections.fields import HOST
from auditsense.detections.model import (
    AttackEntry,
    Detection,
    DetectionException,
    Match,
    Severity,
    Threat,
    Window,
    conditions_of,
)
from auditsense.detections.own_query import MOST_MATCHES, MOST_SPAN_MS, expression_of_condition, window_of
from auditsense.detections.toml_table import Mistakes, TomlTable, match_of
from auditsense.errors import DetectionError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from os import PathLike
    from pathlib import Path

OPTIONAL = "shipped:"
"""Beginning of the name of a detection that comes with the package and is used only where it is named."""
_HARMLESS = "detections/harmless"
_MOST_RISK = 100
_MOST_ENTRIES = 4096  # of a folder and those in it


def _named(where: str, value: object, mistakes: Mistakes) -> AttackEntry:
    entry = TomlTable(where, value, mistakes, name="threat")
    named = AttackEntry(entry.read("id", text), entry.read("name", text), entry.read("reference", text))
    entry.done()
    return named


def _threat(where: str, value: object, mistakes: Mistakes) -> Threat:
    entry = TomlTable(where, value, mistakes, name="threat")
    threat = Threat(
        _named(f"{where}.tactic", *entry.read_table("tactic")),
        tuple(_named(f"{where}.technique", row, mistakes) for row in entry.optional("technique", items, [])),
    )
    entry.done()
    return threat


def _window(where: str, value: object, mistakes: Mistakes) -> Window:
    entry = TomlTable(where, value, mistakes, name="window")
    matches = entry.read("matches", whole, 1, MOST_MATCHES)
    by = entry.optional("by", texts, ())
    within_ms = entry.read("within", duration_ms, 1, MOST_SPAN_MS)
    entry.done()
    return Window(by if HOST in by else (*by, HOST), matches, within_ms)


def parse(source: str, where: str) -> Detection:
    """Read one detection.

    Args:
        source: the TOML.
        where: the file's name, for errors.

    Raises:
        DetectionError: it is no TOML, or not a detection. Notes of the error are further mistakes.
    """
    return from_table(_toml(source, where), where, source)


def _toml(source: str, where: str) -> dict[str, Any]:
    try:
        return parse_toml(source)
    except TomlError as error:
        place = f"{where}:{error.line}" if error.line else where
        raise DetectionError(f"{place}: {error.reason}") from None


def from_table(document: dict[str, Any], where: str, source: str = "") -> Detection:
    """Read one detection from what its TOML would hold.

    Args:
        document: the keys and values of the file.
        where: what to call it in errors.
        source: the TOML, for line numbers; "": there is none.

    Raises:
        DetectionError: it is not a detection. Notes of the error are further mistakes.
    """
    if is_elastic(document):
        return _compiled(detection_of_rule(document, where, source), where)
    mistakes = Mistakes(where, source)
    detection = _detection(document, where, mistakes)
    mistakes.check()
    return detection


def _compiled(detection: Detection, where: str) -> Detection:
    """Return a rule of Elastic after it has been compiled."""
    try:
        check_detection(detection)
    except DetectionError as error:
        raise RefusedRuleError(f"{where}: query: {error}") from None
    return detection


def _detection(document: dict[str, Any], where: str, mistakes: Mistakes) -> Detection:
    entry = TomlTable(where, document, mistakes)
    query = _query(entry, document, mistakes)
    match, window = ((), window_of(query)) if query else _match_and_window(entry, document, mistakes)
    name = entry.read("id", text)
    detection = Detection(
        id=name,
        name=entry.read("name", text),
        version=entry.read("version", whole),
        severity=Severity(entry.read("severity", choice, Severity)),
        risk_score=entry.read("risk_score", whole, 0, _MOST_RISK),
        description=entry.optional("description", text, "").strip(),
        audit_rule=entry.optional("audit_rule", _rule_lines, ""),
        audit_rule_optional=entry.optional("audit_rule_optional", flag, default=False),
        joins=entry.optional("joins", texts, ()),
        references=entry.optional("references", texts, ()),
        tags=entry.optional("tags", texts, ()),
        false_positives=entry.optional("false_positives", texts, ()),
        threat=_threats(where, entry.optional("threat", items, []), mistakes),
        match=match,
        window=window,
        note=entry.optional("note", text, "").strip(),
        investigate=entry.optional("investigate", texts, ()),
        respond=entry.optional("respond", texts, ()),
        exceptions=_exceptions_in(where, entry.optional("exception", items, []), mistakes, name, where),
        query=query,
    )
    entry.done()
    _compile(detection, mistakes)
    return detection


def _rule_lines(value: object) -> str:
    """Return an audit rule, or a list of them, as lines."""
    if isinstance(value, list):
        return "\n".join(texts(value))
    if not isinstance(value, str):
        raise WrongValueError(f'must be a string, such as "-w /…", or a list of them, not {shown(value)}')
    return value


def _query(entry: TomlTable, document: dict[str, Any], mistakes: Mistakes) -> Query | None:
    """Return the query of a detection that has `eql` in place of `match` and `window`."""
    if "eql" not in document:
        return None
    for key in ("match", "window"):
        if entry.read_any(key) is not None:
            mistakes.add(f"eql stands in place of match and window; remove {key}", key)
    source = entry.read("eql", text)
    with mistakes.collected("", "eql"):
        try:
            return LANGUAGES["eql"](source)
        except DetectionError as error:
            raise DetectionError(f"eql: {error}") from None
    return Query(QueryKind.EVENT, (Step(None, Constant(value=False)),))  # never used: there is a mistake


def _match_and_window(entry: TomlTable, document: dict[str, Any], mistakes: Mistakes) -> tuple[Match, Window]:
    match = entry.read("match", table)
    if not match and document.get("match") == {}:
        mistakes.add("match must have at least one field; without any all events would match", "match")
    window = entry.read_table("window")
    where = f"{entry.where}: match"
    return (
        match_of(where, TomlTable(where, match), mistakes),
        _window(f"{entry.where}: window", *window),
    )


def _threats(where: str, rows: list[Any], mistakes: Mistakes) -> tuple[Threat, ...]:
    threats: list[Threat] = []
    for number, row in enumerate(rows):
        with mistakes.collected("threat", number=number):
            threats.append(_threat(f"{where}: threat", row, mistakes))
    return tuple(threats)


def _exceptions_in(
    where: str, rows: list[Any], mistakes: Mistakes, detection: str | None, origin: str
) -> tuple[DetectionException, ...]:
    exceptions: list[DetectionException] = []
    for number, row in enumerate(rows):
        with mistakes.collected("exception", number=number):
            place = f"{where}: exception {number + 1}"
            exceptions.append(exception_from(row, place, detection=detection, origin=origin))
    return tuple(exceptions)


def _compile(detection: Detection, mistakes: Mistakes) -> None:
    """Compile a detection; on an error, look for the conditions at fault."""
    try:
        check_detection(detection)
    except DetectionError as error:
        before = len(mistakes)
        for condition in conditions_of(detection.match):
            try:
                expression_of_condition(condition)
            except DetectionError as wrong:
                mistakes.add(str(wrong), "match", condition.field)
        if len(mistakes) == before:
            mistakes.add(str(error), "window" if "window" in str(error) else "")


class Skipped(NamedTuple):
    """A rule in a folder that is not for this sensor.

    Attributes:
        reason: why.
    """

    reason: str


def load_file(path: Path, *, skip: bool) -> Detection | Skipped:
    """Load one file.

    Args:
        path: of it.
        skip: whether a rule of Elastic that is for other sources, or deprecated, is skipped. Otherwise its
            file was named, and a building block alerts like any other detection.

    Raises:
        DetectionError: it cannot be read, is refused, or another user may write it.
    """
    where = str(path)
    source = _read(path)
    document = _toml(source, where)
    reason = reason_to_skip(document) if skip and is_elastic(document) else ""
    if reason:
        return Skipped(reason)
    detection = from_table(document, where, source)
    return detection if skip or not detection.building_block else replace(detection, building_block=False)


def load_detections(
    path: str | PathLike[str], *, refused: Callable[[DetectionError], None] | None = None
) -> list[Detection]:
    """Load the detection of a file, or those of a folder: all its `*.toml`, in the order of their paths.

    A file is in our format, or a rule of Elastic in EQL, unmodified. In a folder, rules of Elastic that are
    deprecated or only for other sources than audit are skipped.

    Root loads only files that root alone may write: a detection decides what is seen, and which audit
    rule the kernel gets.

    Args:
        path: a file of 1 MiB at most, or a folder, which is read recursively, of 4,096 entries at most.
            Hidden files and folders are ignored.
        refused: called with the error of each file that is refused; the others are loaded. By default the
            first such error is raised.

    Raises:
        DetectionError: it cannot be read, holds no detection, or another user may write it.
        UsageError: *path* is not a path.
    """
    detections: list[Detection] = []
    for file in detection_files(path):
        try:
            loaded = load_file(file, skip=file != _path(path))
        except DetectionError as error:
            if refused is None:
                raise
            refused(error)
        else:
            detections += [loaded] if isinstance(loaded, Detection) else []
    return detections


def _path(path: object) -> Path:
    from pathlib import Path  # noqa: PLC0415 - most commands load no file, and it loads slowly

    try:
        return Path(path)  # type: ignore[arg-type]
    except TypeError:
        raise UsageError(
            f"a path is a string or a pathlib.Path, not {type(path).__name__}: name one file or folder"
        ) from None


def detection_files(path: str | PathLike[str], *, may_be_empty: bool = False) -> list[Path]:
    """Return the files that `load_detections` reads. See there.

    Args:
        path: of a file or a folder, or the name of an optional detection of the package.
        may_be_empty: whether a folder without such files is accepted.
    """
    root = _path(path)
    if str(path).startswith(OPTIONAL):
        return [_path(_optional_file(str(path)))]
    try:
        if not stat.S_ISDIR(root.stat().st_mode):
            return [root]
        if os.geteuid() == 0:  # otherwise another user could remove a detection
            require_trusted_path(root)
        files = _files_below(root)
    except OSError as error:
        raise DetectionError(f"{error.filename or root}: {error.strerror}") from None
    except UsageError as error:
        raise DetectionError(str(error)) from None
    except ValueError:  # a NUL in the name
        raise DetectionError(f"{str(root)!r}: not a file name") from None
    if not files and not may_be_empty:
        raise DetectionError(f"{root}: no .toml file in this folder")
    return files


def _files_below(root: Path) -> list[Path]:
    """Return the files of a folder, in the order of their paths.

    Raises:
        DetectionError: a link to a folder, which may loop.
    """
    files: list[Path] = []
    folders = [root]
    entries = 0
    while folders:
        folder = folders.pop()
        for entry in folder.iterdir():
            entries += 1
            if entries > _MOST_ENTRIES:
                raise DetectionError(f"{root}: more than {_MOST_ENTRIES} entries; name another folder")
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                if entry.is_symlink():
                    raise DetectionError(
                        f"{entry}: a link to a folder is not followed; name the folder itself"
                    )
                folders.append(entry)
            elif entry.suffix == ".toml":
                files.append(entry)
    return sorted(files)


def load_exceptions(path: str | PathLike[str]) -> list[DetectionException]:
    """Load the exceptions of a file that holds nothing else; each names its detection.

    Args:
        path: a file of 1 MiB at most. Root loads only a file that root alone may write.

    Raises:
        DetectionError: it cannot be read, holds something else, or another user may write it.
        UsageError: *path* is not a path.
    """
    file = _path(path)
    source = _read(file)
    return _exceptions(_toml(source, str(file)), str(file), str(file), source)


def _exceptions(
    document: dict[str, Any], where: str, origin: str, source: str = ""
) -> list[DetectionException]:
    mistakes = Mistakes(where, source)
    entry = TomlTable(where, document, mistakes)
    rows = entry.read("exception", items)
    exceptions = _exceptions_in(where, rows, mistakes, None, origin)
    entry.done()
    mistakes.check()
    return [*exceptions]


def known_harmless() -> list[DetectionException]:
    """Return the exceptions that come with the package, for `with_exceptions`; none is in force unasked."""
    return [
        exception
        for name, text in read_known_harmless()
        for exception in _exceptions(tomllib.loads(text), name, f"known harmless, {name}")
    ]


def read_known_harmless() -> list[tuple[str, str]]:
    """Return name and text of the files of `known_harmless`. They are read once."""
    names = packaged_names(_HARMLESS, ".toml")
    return [(name, packaged_text(f"{_HARMLESS}/{name}")) for name in names]


def quiet(
    detections: Sequence[Detection], paths: Iterable[str], *, known_harmless_too: bool
) -> tuple[Detection, ...]:
    """Return the detections with the exceptions of these files, and the known harmless ones if asked for.

    A known harmless exception of a detection that is not looked for is left out.

    Raises:
        DetectionError: as `load_exceptions` and `with_exceptions`.
    """
    ids = {detection.id for detection in detections}
    harmless = [entry for entry in known_harmless() if entry.detection in ids] if known_harmless_too else []
    more = [entry for path in paths_of(paths) for entry in load_exceptions(path)]
    return with_exceptions(detections, (*harmless, *more))


def only(detections: tuple[Detection, ...], ids: Sequence[str]) -> tuple[Detection, ...]:
    """Return the detections with these ids, in their order; without ids all.

    Raises:
        DetectionError: an id that none has.
    """
    if not ids:
        return detections
    known = [detection.id for detection in detections]
    for name in ids:
        if name not in known:
            raise DetectionError(f"no detection {name!r} is loaded{did_you_mean(name, known)}")
    return tuple(detection for detection in detections if detection.id in ids)


def paths_of(names: Iterable[str]) -> list[Path]:
    """Return names of files and folders as paths."""
    names = list(names)
    if not names:
        return []
    from pathlib import Path  # noqa: PLC0415 - most commands get no path, and it loads slowly

    return [Path(name) for name in names]


def _read(path: Path) -> str:
    try:
        return read_trusted_text(path, always=False)
    except UsageError as error:
        raise DetectionError(str(error)) from None


def shipped_detections() -> list[Detection]:
    """Return the detections that come with the package, those that join no other first."""
    shipped = [_shipped(name) for name in packaged_names("detections", ".toml")]
    # Of two that are complete with the same event the first one names the alert.
    return sorted(shipped, key=lambda detection: (bool(detection.joins), detection.id))


@cache
def _shipped(name: str) -> Detection:
    return from_table(tomllib.loads(packaged_text(f"detections/{name}")), name)


def optional_detections() -> tuple[str, ...]:
    """Return the names of the detections that come with the package and are off by default."""
    names = packaged_names("detections/optional", ".toml")
    return tuple(OPTIONAL + name.removesuffix(".toml") for name in names)


def _optional_file(name: str) -> str:
    known = optional_detections()
    if name not in known:
        raise DetectionError(f"{name}: no such detection comes with auditsense{did_you_mean(name, known)}")
    return packaged_file(f"detections/optional/{name.removeprefix(OPTIONAL)}.toml")


def resolve_detections(detections: Iterable[Detection] | None) -> tuple[Detection, ...]:
    """Return the detections of an argument; None: the shipped ones. Raises as `validate_detections`."""
    return tuple(shipped_detections()) if detections is None else validate_detections(detections)


def validate_detections(detections: Iterable[Detection]) -> tuple[Detection, ...]:
    """Return detections as a tuple.

    Raises:
        UsageError: they are not a sequence of detections.
        DetectionError: two have the same id.
    """
    if isinstance(detections, Detection):
        raise UsageError("expected a list of detections, got one: pass [detection]")
    if isinstance(detections, str | bytes) or not isinstance(detections, Iterable):
        raise UsageError(
            f"expected a list of detections, not {detections!r:.50}: pass load_detections(…) or [define(…)]"
        )
    checked = tuple(detections)
    ids: set[str] = set()
    for detection in checked:
        if not isinstance(detection, Detection):
            raise UsageError(
                f"expected a detection, as define(…) and load_detections(…) return, not {detection!r:.60}"
            )
        if detection.id in ids:
            raise DetectionError(f"two detections have the id {detection.id!r}: give each a different one")
        ids.add(detection.id)
    return checked
