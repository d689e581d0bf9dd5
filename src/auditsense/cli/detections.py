"""auditsense detections: what is looked for."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.alerts import AlertPolicy
from auditsense.cli import put, say
from auditsense.detections.as_c import as_c
from auditsense.detections.compile import compile_all
from auditsense.detections.fields import nearest
from auditsense.detections.load import load, shipped
from auditsense.errors import DetectionError

if TYPE_CHECKING:
    import argparse


def run(arguments: argparse.Namespace) -> int:
    """Do one action."""
    if arguments.action == "check":
        found = load(Path(arguments.path))
        say(f"{arguments.path}: {len(found)} detections, nothing wrong")
        return 0
    if arguments.action == "compile":
        found = load(Path(arguments.path)) if arguments.path else shipped()
        rules = compile_all(found, merge_ms=AlertPolicy().suppress_ms)
        put(as_c(rules, [one.id for one in found]).rstrip("\n"))
        return 0
    known = {detection.id: detection for detection in shipped()}
    if arguments.action == "list":
        for one in known.values():
            put(f"{one.id}\t{one.severity}\t{one.name}")
        return 0
    if arguments.name not in known:
        raise DetectionError(
            f"there is no detection {arguments.name!r}{nearest(arguments.name, list(known))}"
        )
    put(json.dumps(dataclasses.asdict(known[arguments.name]), indent=2))
    return 0
