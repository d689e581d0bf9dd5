"""Files of sinks renamed under load, as by logrotate: each document is in one of them."""

from __future__ import annotations

import json
import re
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.live.workloads import ACCOUNT, Command, Scanner, batch_loads, running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from concurrent.futures import Future


LIMIT_S = 300.0
OPENS = 15_000


@pytest.fixture
def folder() -> Iterator[Path]:
    """Yield a folder that only root may write, like /var/log."""
    with tempfile.TemporaryDirectory(prefix="auditsense-sinks-", dir="/run") as name:
        yield Path(name)


def until(holds: Callable[[], bool], sensor: Command) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert sensor.process.poll() is None, sensor.stderr
        assert time.monotonic() < deadline, sensor.stderr
        time.sleep(0.005)


def rotated(sensor: Command, file: Path, load: Future[None]) -> list[Path]:
    """Rename a file and send SIGHUP, as logrotate does, until a load ends; return the names."""
    names: list[Path] = []
    while True:
        until(lambda: file.stat().st_size > 0 or load.done(), sensor)
        if load.done():
            return names
        names.append(file.with_name(f"{file.name}.{len(names)}"))
        file.rename(names[-1])
        sensor.process.send_signal(signal.SIGHUP)
        until(file.exists, sensor)


def serials(file: Path, pid: int) -> list[int]:
    """Return the serials of one process's events in a file of complete lines.

    There are none if the file was reopened after the last event.
    """
    text = file.read_text(encoding="utf-8")
    assert not text or text.endswith("\n")
    documents = [json.loads(line) for line in text.splitlines()]
    ours = (document for document in documents if document.get("process", {}).get("pid") == pid)
    return [int(document["auditsense"]["events"][0].rpartition(":")[2]) for document in ours]


@pytest.mark.parametrize("configured", [False, True], ids=["by a flag", "by a configuration, another user"])
def test_files_renamed_under_load_have_each_document_once(
    folder: Path, scanner: Scanner, *, configured: bool
) -> None:
    file = folder / "events.jsonl"
    options = ["--sink", f"file:{file}"]
    if configured:
        config = folder / "auditsense.toml"
        config.write_text(f"[[sink]]\ntype = 'file'\npath = '{file}'\n", encoding="utf-8")
        config.chmod(0o644)
        folder.chmod(0o755)
        options = ["-c", str(config), "--user", ACCOUNT]
    with (
        running("run", "-o", "events", *options) as sensor,
        batch_loads(scanner, OPENS, period_us=200) as loads,
        ThreadPoolExecutor(1) as pool,
    ):
        made = pool.submit(loads.run)
        files = [*rotated(sensor, file, made), file]
        made.result()
        assert sensor.end() == 0
        assert "Traceback" not in sensor.stderr
        if configured:  # pending signals merge
            assert 1 <= sensor.stderr.count("configuration reloaded") < len(files)
        lost = re.search(r"lost: kernel (\d+), serials (\d+)", sensor.stderr)
        written = re.search(r"(\d+) documents written;", sensor.stderr)
        assert lost is not None
        assert written is not None, sensor.stderr  # without dropped or failed documents
    assert lost[1] == "0"
    assert all(path.stat().st_size for path in files[:-1])  # only the last one may be empty
    by_file = [serials(path, loads.processes[0].pid) for path in files]
    numbers = [serial for part in by_file for serial in part]
    assert len(numbers) + int(lost[2]) == OPENS
    assert int(written[1]) == sum(path.read_text(encoding="utf-8").count("\n") for path in files)
    assert numbers == sorted(set(numbers))  # each once, in the order of the files
    assert sum(1 for part in by_file if part) >= 2
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
