"""auditsense detections test: run the cases of a detection."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense.cli import print_data, print_message
from auditsense.detections.event_table import EventMapping
from auditsense.detections.loader import load_detections
from auditsense.errors import UsageError, one_line
from auditsense.replay.cases import CaseRunner, read_cases

if TYPE_CHECKING:
    import argparse


def run(arguments: argparse.Namespace) -> int:
    """Run each case in each mapping, and print one line for each. Returns 1 when a count differs."""
    detections = load_detections(arguments.rule)
    if len(detections) != 1:
        raise UsageError(f"{arguments.rule}: holds {len(detections)} detections; name a file with one")
    mappings = [EventMapping(arguments.mapping)] if arguments.mapping else [*EventMapping]
    runners: dict[EventMapping, CaseRunner] = {}
    compared = differing = 0
    for case in read_cases(arguments.cases):
        if case.unknown:
            print_message(f"{one_line(case.name)}: ignored: {one_line(', '.join(case.unknown))}")
        for mapping in mappings:
            if mapping not in case.expect:
                continue
            if mapping not in runners:
                runners[mapping] = CaseRunner(detections[0], mapping)
            found, expected = runners[mapping].run(case), case.expect[mapping]
            compared += 1
            differing += found != expected
            result = "ok" if found == expected else f"{found}, expected {expected}"
            print_data("\t".join((mapping, one_line(case.name), result)))
    if not compared:
        raise UsageError(f"{arguments.cases}: no case expects a number in {mappings[0]}; omit --mapping")
    print_message(f"{compared} results, {differing} differ")
    return 1 if differing else 0
