"""auditsense run in what the unit gives it, as far as that can be had without systemd, and a manager.

From the unit as it is: the capabilities, no_new_privs, MemoryDenyWriteExecute, SystemCallFilter (the sets as
systemd-analyze names them), RestrictAddressFamilies, the limits. What is left out belongs to the cgroup.
"""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest

from auditsense.cli.systemd import units
from tests.live.workloads import OWN_RULE, Scanner

PROGRAM = Path(sys.executable).with_name("auditsense")
LIMIT_S = 300.0

# Runs with the words of the command line: capabilities, address families, allowed calls, then the program.
CONFINE = """
import ctypes, os, sys
from auditsense import syscalls
from auditsense.kernel import privileges, seccomp as s
caps, families, calls, *program = sys.argv[1:]
arch = s.abi()
known = {name: syscalls.number(name, arch) for name in calls.split() if name in syscalls.names(arch)}
# The filter before no_new_privs would need what keep_only drops; execve starts the program.
allowed = sorted({*known.values(), syscalls.number("execve", arch)})
code = [
    (s.LOAD_WORD, 0, 0, s._AT_ARCH), (s.IF_EQUAL, 1, 0, syscalls.ARCHES[arch]), s._refuse(1),
    (s.LOAD_WORD, 0, 0, s._AT_NUMBER),
    *s._when(known["socket"], s._argument(0),
             *[i for f in families.split()
               for i in ((s.IF_EQUAL, 0, 1, int(f)), (s.RETURN, 0, 0, s._ALLOW))],
             s._refuse(97)),
    *s._when(known["clone3"], s._refuse(38)),
    *s._allow(allowed), s._refuse(1),
]
libc = ctypes.CDLL(None, use_errno=True)
privileges.keep_only(*map(int, caps.split()))
if libc.prctl(65, 1, 0, 0, 0) and ctypes.get_errno() != 22:  # PR_SET_MDWE; not before Linux 6.3
    raise OSError(ctypes.get_errno(), "PR_SET_MDWE")
packed = s.bpf.pack(code)
assert s.confine(s.SystemCallFilter(syscalls.number("seccomp", arch), packed))
os.execv(program[0], program)
"""
CAPABILITIES = {
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_ADMIN": 12,
    "CAP_AUDIT_CONTROL": 30,
    "CAP_AUDIT_READ": 37,
}


def values(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", units(str(PROGRAM))["auditsense.service"], re.MULTILINE)


def call_set(name: str) -> set[str]:
    """Return the calls of one of systemd's sets, with the sets in it."""
    if not name.startswith("@"):
        return {name}
    stderr = subprocess.run(
        [str(shutil.which("systemd-analyze")), "syscall-filter", name],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout
    words = [line.strip() for line in stderr.splitlines()[1:]]
    return {one for word in words if word and not word.startswith("#") for one in call_set(word)}


def allowed_calls() -> set[str]:
    allowed = call_set("@default")
    for line in values("SystemCallFilter"):
        some = {one for word in line.lstrip("~").split() for one in call_set(word)}
        allowed = allowed - some if line.startswith("~") else allowed | some
    return allowed


def may_raise_limits() -> bool:
    """Return whether this process has CAP_SYS_RESOURCE, as systemd has."""
    found = re.search(r"^CapEff:\s*(\w+)", Path("/proc/self/status").read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> 24 & 1)


class Service:
    """The sensor as the unit starts it, and its notifications to systemd."""

    def __init__(self, folder: Path, *options: str) -> None:
        if shutil.which("systemd-analyze") is None:
            pytest.skip("systemd-analyze, which knows the sets of system calls, is not installed")
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(folder / "notify"))
        self.manager.settimeout(LIMIT_S)
        families = {"AF_UNIX": socket.AF_UNIX, "AF_NETLINK": socket.AF_NETLINK}
        given = [
            " ".join(str(CAPABILITIES[name]) for name in values("CapabilityBoundingSet")[0].split()),
            " ".join(str(int(families[name])) for name in values("RestrictAddressFamilies")[0].split()),
            " ".join(sorted(allowed_calls())),
        ]
        program = [sys.executable, "-E", "-s", str(PROGRAM), "run", "--audit-rule", OWN_RULE, *options]
        files = int(values("LimitNOFILE")[0])
        nice = 20 - int(values("LimitNICE")[0])

        raised = may_raise_limits()
        if not raised:  # in a container it may be kept from that
            program += ["--priority-boost", "0"]

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
            if raised:
                resource.setrlimit(resource.RLIMIT_NICE, (nice, nice))
            os.umask(int(values("UMask")[0], 8))

        self.out = folder / "out"
        self.err = folder / "err"
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-c", CONFINE, *given, *program],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env={
                    "PATH": os.environ["PATH"],
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
