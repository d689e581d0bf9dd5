"""auditsense replay: read logs and captures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from auditsense.cli import put, say
from auditsense.cli.common import standard_output, wanted_detections
from auditsense.detections.exceptions import excepted_by
from auditsense.detector import Detector, View
from auditsense.errors import UsageError
from auditsense.sources.replay import replay

if TYPE_CHECKING:
    import argparse

_ALERTS_FOUND = 10


def run(arguments: argparse.Namespace) -> int:
    """Read all inputs in order, as one stream."""
    counting = arguments.output == "count"
    view = View.ALERTS if counting else View(arguments.output)
    if arguments.fail_on_alert and view is View.EVENTS:
        raise UsageError("nothing is detected with -o events, so --fail-on-alert could never fail")
    sink = standard_output(arguments.format)
    with Detector(wanted_detections(arguments), view=view) as detector:
        for documents in replay(arguments.paths, detector, say):
            if not counting:
                sink.write(documents)
        alerts = detector.alert_counts.alerts
        sequences = detector.stats().sequences
        if counting:
            counts: dict[str, object] = {"alerts": alerts, **detector.stats().as_dict()}
            if excepted := excepted_by(detector.exceptions()):
                counts["excepted_by"] = excepted
            put(json.dumps(counts))
    found = sequences if view is View.SEQUENCES else alerts
    return _ALERTS_FOUND if arguments.fail_on_alert and found else 0
