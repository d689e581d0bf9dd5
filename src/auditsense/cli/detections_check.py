"""auditsense detections check: which detections run, in each mapping, and why others do not.

native   auditd_manager  detection
runs     runs            mine/a.toml: a
limits   never           rules/b.toml: 00000000-…, name
           auditd_manager has no process.parent.name
refused  refused         rules/c.toml:20: the language kuery is not supported yet
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

from auditsense.cli import print_data, print_message
from auditsense.config.settings import build_settings, load_config
from auditsense.detections.catalog import Catalog
from auditsense.detections.coverage import Coverage, Reach, coverages_of
from auditsense.detections.event_table import EventMapping
from auditsense.errors import DetectionError, one_line
from auditsense.sources.factory import rules_needed
from auditsense.status.table import counted

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from auditsense.detections.catalog import CheckedFile

_REFUSED: Final = "refused"
_WIDTHS: Final = (9, 16)
_INDENT: Final = " " * 11


class _Row(NamedTuple):
    """One line of the table.

    Attributes:
        states: in each mapping.
        text: file and detection.
        reasons: below it.
    """

    states: tuple[str, ...]
    text: str
    reasons: tuple[str, ...] = ()


def run(arguments: argparse.Namespace) -> int:
    """Check each file, also against the ids of the other detections. Returns 1 when one is refused.

    With a configuration file, the other detections are those that it names.
    """
    catalog = Catalog()
    if arguments.config is not None:
        settings = build_settings(load_config(arguments))
        catalog.add_known(settings.origins)
    elif arguments.shipped is not False:
        catalog.add_shipped()
    files = [file for path in arguments.paths for file in catalog.add_path(path)]
    rows = _rows([file for file in files if not file.skipped], catalog)
    if len(rows) == 1 and _REFUSED in rows[0].states:  # no table of one refused file
        for problem in (rows[0].text, *rows[0].reasons):
            print_message(f"error: {problem}")
        return 1
    for line in _lines(rows):
        print_data(line)
    for reason, number in Counter(file.skipped for file in files if file.skipped).items():
        print_message(f"{counted(number, 'files')} skipped: {reason}")
    for line in _summary(rows):
        print_message(line)
    return 1 if any(_REFUSED in row.states for row in rows) else 0


def _rows(files: list[CheckedFile], catalog: Catalog) -> list[_Row]:
    ids = {file.id for file in files}
    detections = [detection for detection in catalog.detections if detection.id in ids]
    by_mapping = [coverages_of(detections, mapping) for mapping in EventMapping]
    coverages = {
        detection.id: of_mappings for detection, *of_mappings in zip(detections, *by_mapping, strict=True)
    }
    names = {detection.id: detection.name for detection in detections}
    joins = catalog.unknown_joins()
    return [
        _refused(file.problems)
        if file.problems
        else _row(f"{file.path}: {file.id}, {names[file.id]}", coverages[file.id], joins.get(file.id, ""))
        for file in map(partial(_rule_checked, catalog), files)
    ]


def _rule_checked(catalog: Catalog, file: CheckedFile) -> CheckedFile:
    """Refuse a file whose audit rule `run` would refuse."""
    try:
        rules_needed([detection for detection in catalog.detections if detection.id == file.id])
    except DetectionError as error:
        return file._replace(id="", problems=(f"{file.path}: {error}",))
    return file


def _row(text: str, coverages: Sequence[Coverage], warning: str) -> _Row:
    reasons = (warning, *_reasons(coverages)) if warning else _reasons(coverages)
    return _Row(tuple(str(coverage.reach) for coverage in coverages), text, reasons)


def _refused(problems: tuple[str, ...]) -> _Row:
    return _Row((_REFUSED,) * len(EventMapping), problems[0], problems[1:])


def _reasons(coverages: Sequence[Coverage]) -> tuple[str, ...]:
    """Return the reasons of all mappings, each once."""
    return tuple(dict.fromkeys(reason for coverage in coverages for reason in coverage.reasons))


def _lines(rows: list[_Row]) -> Iterator[str]:
    if not rows:
        return
    yield _line(tuple(EventMapping), "detection")
    for row in rows:
        yield _line(row.states, one_line(row.text))
        for reason in row.reasons:
            yield f"{_INDENT}{one_line(reason)}"


def _line(states: Sequence[str], text: str) -> str:
    columns = (state.ljust(width) for state, width in zip(states, _WIDTHS, strict=True))
    return f"{''.join(columns)}{text}"


def _summary(rows: list[_Row]) -> Iterator[str]:
    refused = sum(_REFUSED in row.states for row in rows)
    yield f"{counted(len(rows), 'files')}, {refused} refused"
    if len(rows) == refused:
        return
    for index, mapping in enumerate(EventMapping):
        states = Counter(row.states[index] for row in rows)
        yield (
            f"{mapping}: {states[Reach.FULL]} run, {states[Reach.PARTIAL]} run with limits, "
            f"{states[Reach.NONE]} can never match"
        )
