"""Real receivers of sinks, started for a test: a private journald and rsyslogd.

The journald runs in a private mount namespace, for a journal namespace that does not use the kernel's audit.
The rsyslogd is Debian's, unpacked, with a configuration of inputs only.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.debian import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


LIMIT_S = 300.0
JOURNALD = Path("/lib/systemd/systemd-journald")
NAMESPACE = "auditsensetest"

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="not root")


def wait_until(condition: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)


class Journald:
    """A journald with the socket `path`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.path = str(folder / "run" / f"journal.{NAMESPACE}" / "socket")

    def start(self) -> None:
        """Start it, and wait for its socket."""
        run, log, config = (self._folder / name for name in ("run", "log", "config"))
        for folder in (run, log, config):
            folder.mkdir(exist_ok=True)
        (config / f"journald@{NAMESPACE}.conf").write_text(
            "[Journal]\nStorage=persistent\nAudit=\nSyncIntervalSec=0\nRateLimitBurst=0\nSystemMaxUse=200M\n"
        )
        mounts = (
            "mkdir -p /run/systemd /run/log /var/log/journal && mount -t tmpfs none /run/log && "
            f"mount --bind {run} /run/systemd && mount --bind {log} /var/log/journal && "
            f"mount --bind {config} /etc/systemd && exec {JOURNALD} {NAMESPACE}"
        )
        self._process = subprocess.Popen(["unshare", "-m", "--propagation", "private", "sh", "-ec", mounts])
        wait_until(lambda: Path(self.path).exists())

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(LIMIT_S)
            self._process = None
            Path(self.path).unlink(missing_ok=True)

    def entries(self, match: str = "SYSLOG_IDENTIFIER=auditsense") -> list[dict[str, Any]]:
        """Return the entries that journalctl finds, by default ours."""
        command = [
            *(
                "journalctl",
                "--file",
                str(self._folder / "log" / "*" / "*.journal"),
                "-o",
                "json",
                "--all",
                "--no-pager",
            ),
            match,
        ]
        ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        return [json.loads(line) for line in ended.stdout.splitlines()]


@contextmanager
def journald(folder: Path) -> Iterator[Journald]:
    """Yield a journald that is not started."""
    if not JOURNALD.exists() or shutil.which("journalctl") is None:
        pytest.skip("there is no systemd-journald")
    if subprocess.run(["unshare", "-m", "--propagation", "private", "true"], check=False).returncode:
        pytest.skip("no private mount namespace here, as in a chroot")
    daemon = Journald(folder)
    try:
        yield daemon
    finally:
        daemon.stop()


PACKAGES = ("rsyslog", "libestr0", "libfastjson4", "liblognorm5")


def free_port(kind: socket.SocketKind) -> int:
    """Return a free port of this machine."""
    with socket.socket(socket.AF_INET, kind) as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


class Rsyslogd:
    """An rsyslogd that listens on the local socket `path` and on the ports `udp` and `tcp`."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.path = str(folder / "log")
        self.udp = free_port(socket.SOCK_DGRAM)
        self.tcp = free_port(socket.SOCK_STREAM)
        self.log = folder / "received"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        config = self._folder / "rsyslog.conf"
        config.write_text(f"""
global(workDirectory="{self._folder}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off")
module(load="imuxsock" SysSock.Use="off")
module(load="imudp")
module(load="imtcp")
input(type="imuxsock" Socket="{self.path}" useSpecialParser="off" ratelimit.interval="0")
input(type="imudp" address="127.0.0.1" port="{self.udp}")
input(type="imtcp" address="127.0.0.1" port="{self.tcp}")
template(name="all" type="list") {{
  constant(value="{{") property(name="pri" format="jsonf") constant(value=",")
  property(name="timereported" dateFormat="rfc3339" format="jsonf") constant(value=",")
  property(name="hostname" format="jsonf") constant(value=",") property(name="app-name" format="jsonf")
  constant(value=",") property(name="msgid" format="jsonf") constant(value=",")
  property(name="protocol-version" format="jsonf") constant(value=",")
  property(name="structured-data" format="jsonf") constant(value=",") property(name="msg" format="jsonf")
  constant(value="}}\\n")
}}
action(type="omfile" file="{self.log}" template="all")
""")
        modules = next(self._root.rglob("imtcp.so")).parent
        pid = self._folder / "pid"
        self._process = subprocess.Popen(
            [
                *(self._root / "usr" / "sbin" / "rsyslogd", "-n", "-f", str(config)),
                *("-i", str(pid), "-M", str(modules)),
            ],
            env=environment(self._root),
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda: Path(self.path).exists() and self._listens())

    def _listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.tcp)) == 0

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(LIMIT_S)
            self._process = None

    def received(self) -> list[dict[str, Any]]:
        """Return the messages so far, as parsed by rsyslog."""
        if not self.log.exists():
            return []
        complete = self.log.read_text(encoding="utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in complete.splitlines()]
