"""auditsense detections: what is looked for."""

from __future__ import annotations

import dataclasses
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense._values import did_you_mean
from auditsense.cli import put, say
from auditsense.config.settings import found_for, settings
from auditsense.detect.alerts import AlertPolicy
from auditsense.detect.ecs import timestamp
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
        found = load_detections(Path(arguments.path))
        say(f"{arguments.path}: {len(found)} detections, nothing wrong")
        return 0
    if arguments.action == "compile":
        found = load_detections(Path(arguments.path)) if arguments.path else shipped_detections()
        rules = compile_all(found, merge_ms=AlertPolicy().suppress_ms)
        put(as_c(rules, [one.id for one in found]).rstrip("\n"))
        return 0
    known = {detection.id: detection for detection in shipped_detections()}
    if arguments.action == "list":
        for one in known.values():
            put(f"{one.id}\t{one.severity}\t{one.name}")
        return 0
    _show(arguments)
    return 0


def _show(arguments: argparse.Namespace) -> None:
    """Print all that decides what is said of a detection, by the configuration and the flags that run has."""
    asked = settings(found_for(arguments))
    known = {one.id: one for one in asked.detections}
    if arguments.name not in known:
        raise DetectionError(f"there is no detection {arguments.name!r}{did_you_mean(arguments.name, known)}")
    one = known[arguments.name]
    harmless = "in force" if asked.values["detections.known_harmless"] else "not asked for (--known-harmless)"
    shown = {
        **dataclasses.asdict(one),
        "exceptions": [_exception(each) for each in one.exceptions],
        "known_harmless": [
            {**_exception(each), "state": harmless} for each in known_harmless() if each.detection == one.id
        ],
        "alerts": asdict(asked.policy),
        "limits": asdict(asked.limits),
    }
    put(json.dumps(shown, indent=2))


def _exception(one: DetectionException) -> dict[str, object]:
    expired = one.expires_ms is not None and one.expires_ms <= time.time() * 1000
    return {
        "match": [dataclasses.asdict(condition) for condition in one.match],
        "comment": one.comment,
        "origin": one.origin,
        "expires": None if one.expires_ms is None else timestamp(one.expires_ms),
        "state": "expired" if expired else "in force",
    }
