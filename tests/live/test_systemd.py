"""auditsense run in what the unit gives it, as far as that can be had without systemd, and a manager.

See `tests.support.unit_limits`.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest

from tests.live.workloads import OWN_RULE, Scanner
from tests.support import unit_limits
from tests.support.unit_limits import values

ROOT = Path(__file__).parents[2]
PROGRAM = Path(sys.executable).with_name("auditsense")
LIMIT_S = 300.0

UNIT = "auditsense.service"

# Runs with the words of the command line: the unit, then the program.
CONFINE = """
import os, sys
from tests.support.unit_limits import UnitLimits
UnitLimits.of(sys.argv[1]).apply()
os.execv(sys.argv[2], sys.argv[2:])
"""


def may_raise_limits() -> bool:
    """Return whether this process has CAP_SYS_RESOURCE, as systemd has."""
    found = re.search(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> 24 & 1)


class Service:
    """The sensor as the unit starts it, and its notifications to systemd."""

    def __init__(self, folder: Path, *options: str) -> None:
        if unit_limits.ANALYZE is None:
            pytest.skip("systemd-analyze, which knows the sets of system calls, is not installed")
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(folder / "notify"))
        self.manager.settimeout(LIMIT_S)
        program = [sys.executable, "-E", "-s", str(PROGRAM), "run", "--audit-rule", OWN_RULE, *options]
        files = int(values(UNIT, "LimitNOFILE")[0])
        nice = 20 - int(values(UNIT, "LimitNICE")[0])

        raised = may_raise_limits()
        if not raised:  # in a container it may be kept from that
            program += ["--priority-boost", "0"]

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
            if raised:
                resource.setrlimit(resource.RLIMIT_NICE, (nice, nice))
            os.umask(int(values(UNIT, "UMask")[0], 8))

        self.out = folder / "out"
        self.err = folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", CONFINE, UNIT, *program],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": str(ROOT),
                    "NOTIFY_SOCKET": str(folder / "notify"),
                    "WATCHDOG_USEC": "1000000",
                },
                preexec_fn=limit,  # noqa: PLW1509 - no thread here
            )

    def hear(self, wanted: str) -> str:
        """Wait for a notification to the manager, and return it."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            heard = self.manager.recv(4096).decode()
            if heard.startswith(wanted):
                return heard
        raise AssertionError(f"{wanted} was not received: {self.err.read_text()}")

    def hears_nothing(self, of: str, seconds: float) -> bool:
        """Return whether nothing like *of* comes; what came before is not counted."""
        self.manager.settimeout(0)
        try:
            while True:
                self.manager.recv(4096)
        except BlockingIOError:
            pass
        self.manager.settimeout(seconds)
        try:
            return not self.manager.recv(4096).decode().startswith(of)
        except TimeoutError:
            return True
        finally:
            self.manager.settimeout(LIMIT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.manager.close()
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(LIMIT_S)


def test_sensor_works_within_the_limits_of_the_unit(tmp_path: Path, scanner: Scanner) -> None:
    with Service(tmp_path) as service:
        assert "watching" in service.hear("READY=1")
        service.hear("WATCHDOG=1")
        scanner.scan(10)
        deadline = time.monotonic() + LIMIT_S
        while not service.out.read_bytes().count(b"\n") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert service.end() == 0, service.err.read_text()
        service.hear("STOPPING=1")
    (alert, *_) = [json.loads(line) for line in service.out.read_text().splitlines()]
    assert alert["process"]["name"]
    stderr = service.err.read_text()
    assert "cannot" not in stderr
    assert "the host is as it was" in stderr


def test_rules_are_checked_within_the_limits_of_the_unit() -> None:
    if unit_limits.ANALYZE is None:
        pytest.skip("systemd-analyze, which knows the sets of system calls, is not installed")
    ended = subprocess.run(
        [
            *(sys.executable, "-P", "-c", CONFINE, "auditsense-rules.service"),
            *("/bin/sh", "-c", f'"{sys.executable}" -E -s "{PROGRAM}" rules check; echo "status $?"'),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=LIMIT_S,
    )
    assert ended.stdout.endswith(("status 0\n", "status 1\n")), ended  # 1: a rule is missing
    assert "not permitted" not in ended.stderr


def test_watchdog_kills_stuck_sensor_and_guardian_survives(
    tmp_path: Path,
) -> None:
    with Service(tmp_path) as service:
        service.hear("READY=1")
        service.hear("WATCHDOG=1")
        service.process.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        assert service.hears_nothing("WATCHDOG=1", 2.0)
        # What systemd does then, to every process of the service.
        pid = service.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        assert children
        for each in (*map(int, children), pid):
            os.kill(each, signal.SIGABRT)
        service.process.send_signal(signal.SIGCONT)
        assert service.process.wait(LIMIT_S) == -signal.SIGABRT
        deadline = time.monotonic() + LIMIT_S
        while "died; the host is as it was" not in service.err.read_text() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "died; the host is as it was" in service.err.read_text()
