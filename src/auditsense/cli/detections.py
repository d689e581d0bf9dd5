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
from auditsense.detections.catalog import Catalog, CheckedFile
from auditsense.detections.compiler import compile_all
from auditsense.detections.emit_c import as_c
from auditsense.detections.loader import known_harmless
from auditsense.detections.model import ALL_BITS
from auditsense.errors import DetectionError, one_line
from auditsense.sources.factory import rules_needed

if TYPE_CHECKING:
    import argparse

    from auditsense.detections.model import Condition, DetectionException


def run(arguments: argparse.Namespace) -> int:
    """Do one action."""
    return _ACTIONS[arguments.action](arguments)


def _check(arguments: argparse.Namespace) -> int:
    """Check each file, also against the ids of the other detections. Returns 1 when one is refused.

    With a configuration file, the other detections are those that it names.
    """
    catalog = Catalog()
    if arguments.config is not None:
        settings = build_settings(load_config(arguments))
        catalog.add_known(settings.origins)
    elif arguments.shipped is not False:
        catalog.add_shipped()
    files = [_rule_checked(file, catalog) for path in arguments.paths for file in catalog.add_path(path)]
    refused = sum(bool(file.problems) for file in files)
    for file in files:
        for problem in file.problems:
            print_message(f"error: {problem}")
        if not file.problems:
            print_message(f"{file.path}: {file.id}, nothing wrong")
    if len(files) != 1:
        print_message(f"{len(files)} files, {refused} refused")
    return 1 if refused else 0


def _rule_checked(file: CheckedFile, catalog: Catalog) -> CheckedFile:
    """Refuse a file whose audit rule `run` would refuse."""
    try:
        rules_needed([one for one in catalog.detections if one.id == file.id])
    except DetectionError as error:
        return CheckedFile(file.path, "", (f"{file.path}: {error}",))
    return file


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
        "match": [_condition(condition) for condition in detection.match],
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


_ACTIONS = {"list": _list, "show": _show, "check": _check, "compile": _compile}
