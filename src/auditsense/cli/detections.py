"""auditsense detections: what is looked for."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.alerts import AlertPolicy
from auditsense.cli import put, say
from auditsense.detections.as_c import as_c
from auditsense.detections.compile import compile_all
from auditsense.detections.fields import nearest
from auditsense.detections.load import known_harmless, load, quiet, shipped
from auditsense.documents import timestamp
from auditsense.errors import DetectionError
from auditsense.ring import Limits
from auditsense.value import as_dict

if TYPE_CHECKING:
    import argparse

    from auditsense.detections.model import Detection, DetectionExcept


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
    (one,) = quiet(
        [known[arguments.name]], arguments.exceptions, known_harmless_too=bool(arguments.known_harmless)
    )
    put(json.dumps(_shown(one, harmless=bool(arguments.known_harmless)), indent=2))
    return 0


def _shown(one: Detection, *, harmless: bool) -> dict[str, object]:
    """Return all that decides what is said of a detection: itself, its exceptions, the policy, the limits."""
    return {
        **dataclasses.asdict(one),
        "exceptions": [_exception(each) for each in one.exceptions],
        "known_harmless": [
            {**_exception(each), "state": "in force" if harmless else "not asked for (--known-harmless)"}
            for each in known_harmless()
            if each.detection == one.id
        ],
        "alerts": as_dict(AlertPolicy()),
        "limits": as_dict(Limits()),
    }


def _exception(one: DetectionExcept) -> dict[str, object]:
    expired = one.expires_ms is not None and one.expires_ms <= time.time() * 1000
    return {
        "match": [dataclasses.asdict(condition) for condition in one.match],
        "comment": one.comment,
        "origin": one.origin,
        "expires": None if one.expires_ms is None else timestamp(one.expires_ms),
        "state": "expired" if expired else "in force",
    }
