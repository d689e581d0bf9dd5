"""Files of sinks renamed while a sensor writes, as by logrotate: each document is in one of them.

On the real kernel: live/test_renamed_file.py.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

from auditsense.testing import burst

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LIMIT_S = 300.0
TURNS = 5
EVENTS = 400
RUN = [sys.executable, "-P", "-c", "from auditsense.cli import main; raise SystemExit(main())", "run"]


def until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_documents_are_once_in_renamed_and_new_files(tmp_path: Path) -> None:
    log, file, errors = (tmp_path / name for name in ("audit.log", "events.jsonl", "errors"))
    log.touch()
    options = ["--source", f"log:{log}", "--sink", f"file:{file}", "-o", "events", "--status-socket", "off"]
    with (
        errors.open("w") as err,
        subprocess.Popen([*RUN, *options], stderr=err, stdin=subprocess.DEVNULL, text=True) as process,
        log.open("ab", buffering=0) as writing,
    ):
        try:
            until(lambda: "watching" in errors.read_text(), process)
            for turn in range(TURNS):
                for event in burst(EVENTS, serial=1 + turn * EVENTS):
                    writing.write(event.text)
                until(lambda: file.stat().st_size > 0, process)  # in the middle of the events
                file.rename(tmp_path / f"events.jsonl.{turn}")
                process.send_signal(signal.SIGHUP)
                until(file.exists, process)
            process.send_signal(signal.SIGINT)
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()
    files = [*(tmp_path / f"events.jsonl.{turn}" for turn in range(TURNS)), file]
    documents = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    events = [document["auditsense"]["events"][0] for document in documents if "process" in document]
    assert [int(event.rpartition(":")[2]) for event in events] == [*range(1, 1 + TURNS * EVENTS)]
    assert f"{len(documents)} documents written" in errors.read_text()
