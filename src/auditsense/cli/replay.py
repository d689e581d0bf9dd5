"""auditsense replay: read logs and captures."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeVar

from auditsense.cli import print_data, print_detail, print_message
from auditsense.cli.common import selected_detections, selected_mapping, standard_output, unknown_arches
from auditsense.detect.detector import Detector
from auditsense.detect.suppression import AlertPolicy
from auditsense.detect.view import View
from auditsense.detections.exceptions import excepted_by
from auditsense.errors import UsageError
from auditsense.replay.decompress import DamagedInputError
from auditsense.replay.replay import LIMITS, ORDER, replay

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from auditsense.core.stats import Stats
    from auditsense.detect.document_types import Document
    from auditsense.detect.record_reader import RecordReader
    from auditsense.replay.logrotate import RotatedLog

_T = TypeVar("_T")

_ALERTS_FOUND = 10
_LIMITS = (
    ("truncated", "lines or datagrams were longer than the limit and were cut, or full of unknown fields"),
    ("incomplete", "events lack their end, their SYSCALL record or PATH records that it announces"),
    ("evicted", "events were decided early, because the table of events was full"),
    ("late", "records came after their event was decided"),
    ("serials_missing", "events are missing between those that came"),
    ("foreign", "datagrams were not sent by the kernel and were not read"),
    ("keyless", "matches lack the process that a window belongs to"),
    ("disordered", f"matches came after {ORDER:,} later ones, so some sequences may have other members"),
    ("stale", "matches came too late for their window"),
    ("parents_unknown", "events have a parent that no earlier exec names, so nothing was known of it"),
    ("keys_evicted", "windows were evicted, because there were more processes than key_slots"),
)
"""Counters that a replay reports when they are not 0."""


def run(arguments: argparse.Namespace) -> int:
    """Read all inputs in order, as one stream."""
    counting = arguments.output == "count"
    view = View.ALERTS if counting else View(arguments.output)
    if arguments.fail_on_alert and view is View.EVENTS:
        raise UsageError("nothing is detected with -o events, so --fail-on-alert could never fail")
    if view is View.EVENTS:
        if arguments.mapping is not None:
            raise UsageError("-o events shows what records hold in every mapping; leave out --mapping")
        from auditsense.sinks.config import refuse_events_as_findings  # noqa: PLC0415 - for this output only

        refuse_events_as_findings(arguments.sink, arguments.format)
    with ExitStack() as stack:
        if arguments.sink:
            write = stack.enter_context(_sinks(arguments))
        else:
            write = standard_output(arguments.format, arguments.color).write
        return _read(arguments, view, write)


def _sinks(arguments: argparse.Namespace) -> AbstractContextManager[Callable[[Sequence[Document]], None]]:
    from auditsense.cli.output import written_sinks  # noqa: PLC0415 - not for standard output

    return written_sinks(arguments.sink, arguments.format, arguments.color)


@contextmanager
def _inputs(arguments: argparse.Namespace) -> Iterator[list[str]]:
    """Yield the files to read, oldest first; report afterwards if they were rotated in between."""
    names: list[str] = []
    logs: list[RotatedLog] = []
    for path in arguments.paths:
        if path != "-" and (arguments.rotated or os.path.isdir(path)):  # noqa: PTH112 - an unreadable folder is no folder
            from auditsense.replay.logrotate import RotatedLog  # noqa: PLC0415 - not for a file

            logs.append(RotatedLog(path, print_message))
            names += logs[-1].names
        else:
            names.append(path)
    for name in names:
        print_detail(f"input: {'standard input' if name == '-' else name}")
    yield names
    if any(log.changed() for log in logs):
        print_message(
            "the logs were rotated while they were read: some may have been read twice, or not at all; "
            "repeat the replay"
        )


def _read(arguments: argparse.Namespace, view: View, write: Callable[[Sequence[Document]], None]) -> int:
    if view is View.EVENTS:
        return _read_events(arguments, write)
    counting = arguments.output == "count"
    policy = AlertPolicy(max_alerts=arguments.max_alerts)
    detections = selected_detections(arguments)
    sequences = view is View.SEQUENCES
    with Detector(
        detections,
        sequences=sequences,
        policy=policy,
        limits=LIMITS,
        mapping=selected_mapping(arguments),
        order=ORDER,
    ) as detector:
        failure = _replay(arguments, detector, write if not counting else None)
        alerts = detector.alert_counts.alerts
        unsent = detector.alert_counts.withheld - detector.alert_counts.delayed
        found = detector.stats().sequences if sequences else alerts
        if counting:
            counts: dict[str, object] = {"alerts": alerts, "withheld": unsent, **detector.stats().as_dict()}
            if excepted := excepted_by(detector.exceptions()):
                counts["excepted_by"] = excepted
            print_data(json.dumps(counts))
        if unsent:
            print_message(
                f"{unsent} alerts withheld: more than {arguments.max_alerts} in five minutes (--max-alerts)"
            )
        for line in unknown_arches(detector.stats()):
            print_message(line)
    if failure is not None:
        raise failure
    return _ALERTS_FOUND if arguments.fail_on_alert and found else 0


def _read_events(arguments: argparse.Namespace, write: Callable[[Sequence[Document]], None]) -> int:
    from auditsense.detect.event_reader import EventReader  # noqa: PLC0415 - for this output only

    selected_detections(arguments)  # a wrong option is an error here as well
    with EventReader(limits=LIMITS, order=ORDER) as reader:
        failure = _replay(arguments, reader, lambda events: write([event.document() for event in events]))
        for line in unknown_arches(reader.stats()):
            print_message(line)
    if failure is not None:
        raise failure
    return 0


def _replay(
    arguments: argparse.Namespace,
    reader: RecordReader[_T],
    write: Callable[[list[_T]], None] | None,
) -> DamagedInputError | None:
    """Read all inputs and report losses. Returns the error to raise when all is reported."""
    failure: DamagedInputError | None = None
    with _inputs(arguments) as names:
        try:
            for results in replay(names, reader, print_message):
                if write is not None:
                    write(results)
        except DamagedInputError as error:
            failure = error
        stats = reader.stats()
        _say_limits(stats)
        print_detail(f"{stats.records} records, {stats.events} events, {stats.matches} matches")
    return failure


def _say_limits(stats: Stats) -> None:
    """Report losses and reached limits, one line per cause."""
    counts = stats.as_dict()
    for name, meaning in _LIMITS:
        if counts[name]:
            print_message(f"{name}: {counts[name]} {meaning}")
