"""auditsense detections: list and validate detections."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from auditsense._values import did_you_mean
from auditsense.cli import print_data, print_message
from auditsense.cli.common import selected_detections
from auditsense.config.settings import build_settings, load_config
from auditsense.detect.ecs import timestamp
from auditsense.detect.suppression import AlertPolicy
from auditsense.detections.compiler import compile_all
from auditsense.detections.emit_c import as_c
from auditsense.detections.eql.printer import eql_of
from auditsense.detections.loader import OPTIONAL, known_harmless, optional_detections
from auditsense.detections.model import ALL_BITS, AnyOf, Condition
from auditsense.errors import DetectionError, one_line

if TYPE_CHECKING:
    import argparse

    from auditsense.detections.model import DetectionException, Match


def run(arguments: argparse.Namespace) -> int:
    """Do one action."""
    return _ACTIONS[arguments.action](arguments)


def _compile(arguments: argparse.Namespace) -> int:
    arguments.detections = arguments.paths
    detections = selected_detections(arguments)
    rules = compile_all(detections, merge_ms=AlertPolicy().suppress_ms)
    print_data(as_c(rules, [detection.id for detection in detections]).rstrip("\n"))
    return 0


def _list(arguments: argparse.Namespace) -> int:
    settings = build_settings(load_config(arguments))
    for detection in settings.detections:
        columns = (detection.id, detection.severity, detection.name, settings.origins[detection.id])
        print_data("\t".join(map(one_line, columns)))
    loaded = {OPTIONAL + detection.id for detection in settings.detections}
    for name in optional_detections():
        if name not in loaded:
            print_message(f"not loaded, and available with --detections {name}")
    return 0


def _show(arguments: argparse.Namespace) -> int:
    """Print a detection with all that affects its alerts, from the configuration and the flags."""
    settings = build_settings(load_config(arguments))
    known = {detection.id: detection for detection in settings.detections}
    if arguments.name not in known:
        raise DetectionError(f"there is no detection {arguments.name!r}{did_you_mean(arguments.name, known)}")
    detection = known[arguments.name]
    harmless = (
        "in force" if settings.values["detections.known_harmless"] else "not asked for (--known-harmless)"
    )
    shown = {
        **dataclasses.asdict(detection),
        "match": _match(detection.match),
        "query": eql_of(detection.query) if detection.query is not None else None,
        "origin": settings.origins[detection.id],
        "exceptions": [_exception(exception) for exception in detection.exceptions],
        "known_harmless": [
            {**_exception(exception), "state": harmless}
            for exception in known_harmless()
            if exception.detection == detection.id
        ],
        "alerts": asdict(settings.policy),
        "limits": asdict(settings.limits),
    }
    print_data(json.dumps(shown, indent=2))
    return 0


def _match(match: Match) -> list[dict[str, object]]:
    """Return conditions, and groups of them under the words of a file."""
    shown: list[dict[str, object]] = []
    for part in match:
        if isinstance(part, Condition):
            shown.append(_condition(part))
        else:
            word = "any" if isinstance(part, AnyOf) else "none"
            shown.append({word: [_match(table) for table in part.tables]})
    return shown


def _condition(condition: Condition) -> dict[str, object]:
    """Return a condition without what has no effect: a mask of all bits, an unnegated comparison."""
    shown = dataclasses.asdict(condition)
    if condition.mask == ALL_BITS:
        del shown["mask"]
    return shown


def _exception(exception: DetectionException) -> dict[str, object]:
    expired = exception.expires_ms is not None and exception.expires_ms <= time.time() * 1000
    return {
        "match": [_condition(condition) for condition in exception.match],
        "comment": exception.comment,
        "origin": exception.origin,
        "expires": None if exception.expires_ms is None else timestamp(exception.expires_ms),
        "state": "expired" if expired else "in force",
    }


_ACTIONS = {"list": _list, "show": _show, "compile": _compile}
