"""The real counterparts of sinks, started for a test: a journald and an rsyslogd of its own.

The journald runs in a mount namespace of its own, for a journal namespace, which has nothing to do with the
kernel's audit. The rsyslogd is Debian's, unpacked, with a configuration that only says where to listen.
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


def wait_until(what: Callable[[], object], limit_s: float = LIMIT_S) -> None:
    """Wait for something that is to come soon."""
    deadline = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < deadline, "it did not come in time"
        time.sleep(0.02)


class Journald:
    """A journald whose socket is `path`, while it runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.path = str(folder / "run" / f"journal.{NAMESPACE}" / "socket")

    def start(self) -> None:
        """Start it; its socket is there when this returns."""
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
        """Return what was written, under our name if nothing else is asked for, as journalctl reads it."""
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
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        return [json.loads(line) for line in found.stdout.splitlines()]


@contextmanager
def journald(folder: Path) -> Iterator[Journald]:
    """Give a journald that does not run yet."""
    if not JOURNALD.exists() or shutil.which("journalctl") is None:
        pytest.skip("there is no systemd-journald")
    if subprocess.run(["unshare", "-m", "--propagation", "private", "true"], check=False).returncode:
        pytest.skip("no mount namespace of its own here, as in a chroot")
    one = Journald(folder)
    try:
        yield one
    finally:
        one.stop()


PACKAGES = ("rsyslog", "libestr0", "libfastjson4", "liblognorm5")


def free_port(kind: socket.SocketKind) -> int:
    """Return a port of this machine that nobody has right now."""
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class Rsyslogd:
    """An rsyslogd that listens on the local socket `path` and on the ports `udp` and `tcp`, while it runs."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.path = str(folder / "log")
        self.udp = free_port(socket.SOCK_DGRAM)
        self.tcp = free_port(socket.SOCK_STREAM)
        self.log = folder / "received"

    def start(self) -> None:
        """Start it; it listens when this returns."""
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
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self.tcp)) == 0

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(LIMIT_S)
            self._process = None

    def received(self) -> list[dict[str, Any]]:
        """Return the messages so far, taken apart by rsyslog."""
        if not self.log.exists():
            return []
        whole = self.log.read_text(encoding="utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]
