"""docs/status.md names the fields there are."""

from __future__ import annotations

import re
import time
from pathlib import Path

from auditsense import Sensor
from auditsense.status.snapshot import Snapshot, Watched
from auditsense.testing import FakeSource

PAGE = Path(__file__).parents[1] / "docs" / "status.md"


def test_the_page_names_every_field_and_no_other() -> None:
    source = FakeSource()
    sensor = Sensor(source=source)
    with sensor:
        document = Snapshot(Watched(sensor, source, "", [], time.time)).document()
    rows = [line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    named = {name.partition(".")[0] for row in rows for name in re.findall(r"`([\w.]+)`", row)}
    assert named == {*document}
    for row in rows:
        for name in re.findall(r"`(\w+)\.(\w+)`", row):
            assert name[1] in document[name[0]]
