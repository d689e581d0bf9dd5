"""Files of sinks that are renamed while a sensor writes, as logrotate does: each document is in one of them.

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


def test_each_document_is_once_in_the_files_that_were_renamed_and_the_one_that_is_not(tmp_path: Path) -> None:
    log, file, said = (tmp_path / name for name in ("audit.log", "events.jsonl", "said"))
    log.touch()
    told = ["--source", f"log:{log}", "--sink", f"file:{file}", "-o", "events", "--status-socket", "off"]
    with (
        said.open("w") as err,
        subprocess.Popen([*RUN, *told], stderr=err, stdin=subprocess.DEVNULL, text=True) as process,
        log.open("ab", buffering=0) as writing,
    ):
        try:
            until(lambda: "watching" in said.read_text(), process)
            for turn in range(TURNS):
                for event in burst(EVENTS, serial=1 + turn * EVENTS):
                    writing.write(event.text)
                until(lambda: file.stat().st_size > 0, process)  # it is in the middle of them
                file.rename(tmp_path / f"events.jsonl.{turn}")
                process.send_signal(signal.SIGHUP)
                until(file.exists, process)
            process.send_signal(signal.SIGINT)
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()
    files = [*(tmp_path / f"events.jsonl.{turn}" for turn in range(TURNS)), file]
    documents = [json.loads(line) for one in files for line in one.read_text().splitlines()]
    found = [int(one["auditsense"]["events"][0].rpartition(":")[2]) for one in documents if "process" in one]
    assert found == [*range(1, 1 + TURNS * EVENTS)]
    assert f"{len(documents)} documents written" in said.read_text()
