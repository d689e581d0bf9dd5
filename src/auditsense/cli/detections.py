"""auditsense detections: list and validate detections."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense._values import did_you_mean
from auditsense.cli import print_data, print_message
from auditsense.config.settings import build_settings, load_config
from auditsense.detect.ecs import timestamp
from auditsense.detect.suppression import AlertPolicy
from auditsense.detections.compiler import compile_all
from auditsense.detections.emit_c import as_c
from auditsense.detections.loader import known_harmless, load_detections, shipped_detections
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    import argparse

    from auditsense.detections.model import DetectionException


def run(arguments: argparse.Namespace) -> int:
    """Do one action."""
    if arguments.action == "check":
        detections = load_detections(Path(arguments.path))
        print_message(f"{arguments.path}: {len(detections)} detections, nothing wrong")
        return 0
    if arguments.action == "compile":
        detections = load_detections(Path(arguments.path)) if arguments.path else shipped_detections()
        rules = compile_all(detections, merge_ms=AlertPolicy().suppress_ms)
        print_data(as_c(rules, [detection.id for detection in detections]).rstrip("\n"))
        return 0
    if arguments.action == "list":
        for detection in {detection.id: detection for detection in shipped_detections()}.values():
            print_data(f"{detection.id}\t{detection.severity}\t{detection.name}")
        return 0
    _show(arguments)
    return 0


def _show(arguments: argparse.Namespace) -> None:
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


def _exception(exception: DetectionException) -> dict[str, object]:
    expired = exception.expires_ms is not None and exception.expires_ms <= time.time() * 1000
    return {
        "match": [dataclasses.asdict(condition) for condition in exception.match],
        "comment": exception.comment,
        "origin": exception.origin,
        "expires": None if exception.expires_ms is None else timestamp(exception.expires_ms),
        "state": "expired" if expired else "in force",
    }
