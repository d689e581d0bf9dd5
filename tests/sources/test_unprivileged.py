"""auditd's output read by an unprivileged user."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense.testing import burst
from tests.support import unprivileged
from tests.support.unprivileged import OTHER_UID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


PROGRAM = [sys.executable, "-E", "-s", unprivileged.__file__]
TEXT = b"".join(event.text for event in burst(12))
LIMIT_S = 300.0

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that everybody may look into; pytest's own is its user's."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


class Run:
    """A sensor of that user."""

    def __init__(self, folder: Path, source: str, stdin: int) -> None:
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*PROGRAM, "run", "--source", source, "--format", "jsonl"],
                cwd="/",
                stdin=stdin,
                stdout=out,
                stderr=err,
            )

    @property
    def output(self) -> str:
        return self._err.read_text()

    def until(self, what: Callable[[], object]) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not what():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < deadline, self.output
            time.sleep(0.02)

    def states(self) -> list[str]:
        return [
            json.loads(line)["auditsense"]["state"]
            for line in self._out.read_text().splitlines()
            if line.endswith("}")
        ]

    def end(self) -> None:
        """End it: well, with nothing left to say."""
        self.process.terminate()
        assert self.process.wait(LIMIT_S) == 0, self.output
        assert self.states() == ["alert", "closed"]
        assert "no status socket" not in self.output


@contextmanager
def started(folder: Path, source: str, stdin: int = subprocess.DEVNULL) -> Iterator[Run]:
    run = Run(folder, source, stdin)
    try:
        yield run
    finally:
        run.process.kill()
        run.process.wait()


def test_readable_log_is_followed(folder: Path) -> None:
    log = folder / "audit.log"
    log.touch(0o644)
    with started(folder, f"log:{log}") as run:
        run.until(lambda: "watching" in run.output)
        if os.geteuid() == 0:
            status = Path(f"/proc/{run.process.pid}/status").read_text()
            assert f"Uid:\t{OTHER_UID}\t{OTHER_UID}\t{OTHER_UID}\t{OTHER_UID}\n" in status
            assert "CapPrm:\t0000000000000000\n" in status
        with log.open("ab") as file:
            file.write(TEXT)
        run.until(run.states)
        run.end()


def test_accessible_socket_is_read(folder: Path) -> None:
    path = folder / "events"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        path.chmod(0o666)
        listener.listen()
        listener.settimeout(LIMIT_S)
        with started(folder, f"unix:{path}") as run:
            theirs, _ = listener.accept()
            with theirs:
                theirs.sendall(TEXT)
                run.until(run.states)
                run.end()


def test_audisp_pipe_is_read(folder: Path) -> None:
    ours, theirs = os.pipe()
    try:
        with started(folder, "audisp", ours) as run:
            run.until(lambda: "watching" in run.output)
            run.process.send_signal(signal.SIGHUP)  # auditd passes its own on
            os.write(theirs, TEXT)
            run.until(run.states)
            run.end()
    finally:
        os.close(theirs)
        os.close(ours)


def error(*words: str) -> str:
    ran = subprocess.run(
        [*PROGRAM, *words],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1), ran.stderr
    return ran.stderr


@as_root
def test_missing_permission_is_one_line_with_remedy(folder: Path) -> None:
    log = folder / "audit.log"
    log.touch(0o600)
    assert "Permission denied; log_group in auditd.conf" in error("run", "--source", f"log:{log}")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "events"))
        (folder / "events").chmod(0o600)
        listener.listen()
        message = error("run", "--source", f"unix:{folder}/events")
        assert "Permission denied; its mode is in args of auditd's plugins.d/af_unix.conf" in message
    logs = folder / "logs"
    logs.mkdir()
    (logs / "audit.log").write_bytes(TEXT)
    for mode, path in ((0o700, ""), (0o704, "/audit.log")):
        logs.chmod(mode)
        for more in ((), ("--rotated",)):
            assert f"{logs}{path}: Permission denied" in error("replay", f"{logs}{path}", *more)
    assert f"{logs}/audit.log: Permission denied" in error("replay", str(logs))
