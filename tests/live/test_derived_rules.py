"""Derived audit rules on the kernel of this machine: each kind reports its call; see conftest.py."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense.detections.derive import derive
from auditsense.detections.eql.parser import parse
from auditsense.detections.loader import shipped_detections
from auditsense.kernel.commands import Commands
from auditsense.kernel.rules import auditctl
from auditsense.sources.unicast import Unicast
from tests.live.workloads import (
    OTHER_UID,
    Listener,
    command,
    compiled,
    of_process,
    start_unprivileged,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path("/tmp") / f"auditsense-derived-{os.getpid()}"  # noqa: S108 - where the user of the loads may go
FILE, FOLDER, LINK = ROOT / "file", ROOT / "folder", ROOT / "link"
LIMIT_S = 300.0
AS_LOAD = f'user.id == "{OTHER_UID}"'
BEFORE = (
    "import ctypes, os, socket; libc = ctypes.CDLL(None); os.setgroups([]); "
    f"os.setresgid(*[{OTHER_UID}] * 3); os.setresuid(*[{OTHER_UID}] * 3); "
)

AS_OTHER = ["setpriv", f"--reuid={OTHER_UID}", f"--regid={OTHER_UID}", "--clear-groups"]

# query, a program with such a call, one without
CASES = {
    "start of a program": ('process where event.action == "executed"', None, None),
    "range of a register": (
        'any where auditd.data.syscall == "kill" and auditd.data.a1 in ("21", "22", "23")',
        "libc.kill(4194303, 34)",
        "libc.kill(os.getpid(), 0)",
    ),
    "one number of a register": (
        'any where auditd.data.syscall == "prctl" and auditd.data.a0 == "f"',
        "libc.prctl(15, b'x', 0, 0, 0)",
        "libc.prctl(16, ctypes.create_string_buffer(16), 0, 0, 0)",
    ),
    "another user": (
        'any where auditd.data.syscall == "kill" and user.effective.id != "0" and user.group.id != "0"',
        "libc.kill(4194303, 0)",
        "libc.getpgid(0)",
    ),
    "failure": (
        'file where event.action == "created-directory" and event.outcome == "failure"',
        f"libc.mkdir(b'{FOLDER}', 0)",
        f"os.mkdir('{ROOT}/made')",
    ),
    "exit code": (
        'file where event.action == "created-directory" and auditd.data.exit == "EEXIST"',
        f"libc.mkdir(b'{FOLDER}', 0)",
        "libc.mkdir(b'/no/such/folder', 0)",
    ),
    "creation of a file": (
        'file where event.type == "creation" and auditd.data.syscall in ("open", "openat")',
        f"os.open('{ROOT}/new', os.O_CREAT | os.O_WRONLY)",
        f"os.open('{FILE}', os.O_RDONLY)",
    ),
    "file": (
        f'file where event.action == "opened-file" and file.path == "{FILE}"',
        f"os.open('{FILE}', os.O_RDONLY)",
        f"os.open('{FOLDER}', os.O_RDONLY)",
    ),
    "file by another name": (
        f'file where event.action == "opened-file" and file.path == "{FILE}"',
        f"os.chdir('{FOLDER}'); os.open('../file', os.O_RDONLY)",
        f"os.chdir('{FOLDER}'); os.open('..', os.O_RDONLY)",
    ),
    "target of a link": (
        f'file where event.action == "opened-file" and file.path == "{LINK}"',
        f"os.open('{LINK}', os.O_RDONLY)",
        f"os.open('{FOLDER}', os.O_RDONLY)",
    ),
    "file with any call": (
        f'file where file.path == "{FILE}"',
        f"os.chmod('{FILE}', 0o666)",
        "os.stat('/tmp')",
    ),
    "file that is made later": (
        f'file where event.action == "opened-file" and file.path == "{ROOT}/later"',
        f"os.open('{ROOT}/later', os.O_CREAT | os.O_WRONLY)",
        f"os.open('{ROOT}/other', os.O_CREAT | os.O_WRONLY)",
    ),
    "folder": (
        f'file where event.action == "opened-file" and file.path like "{FOLDER}/*"',
        f"os.open('{FOLDER}/inner', os.O_RDONLY)",
        f"os.open('{FILE}', os.O_RDONLY)",
    ),
    "root of procfs": (
        'any where auditd.data.syscall in ("open", "openat") and file.path == "/proc"',
        "os.open('/proc', os.O_RDONLY)",
        "os.open('/proc/1/stat', os.O_RDONLY)",
    ),
    "file of the kernel": (
        'any where auditd.data.syscall in ("open", "openat") and file.path == "/proc/meminfo"',
        "os.open('/proc/meminfo', os.O_RDONLY)",
        "os.open('/proc/version', os.O_RDONLY)",
    ),
    "file of the network": (
        'any where auditd.data.syscall in ("open", "openat") and file.path == "/proc/net/route"',
        "os.open('/proc/net/route', os.O_RDONLY)",
        "os.open('/proc/net/arp', os.O_RDONLY)",
    ),
    "address": (
        'network where event.action == "connected-to" and destination.ip != null',
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))",
        "libc.connect(socket.socket(socket.AF_UNIX).fileno(), b'\\1\\0/no', 5)",
    ),
    "address family": (
        'network where event.action == "bound-socket" and auditd.data.socket.family == "netlink"',
        "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).bind((0, 0))",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('127.0.0.1', 0))",
    ),
}


@pytest.fixture(autouse=True)
def files() -> Iterator[None]:
    """Make files that the user of the loads may use."""
    ROOT.mkdir()
    FOLDER.mkdir()
    for path in (FILE, FOLDER / "inner"):
        path.write_text("")
        os.chown(path, OTHER_UID, OTHER_UID)
    os.chown(ROOT, OTHER_UID, OTHER_UID)
    LINK.symlink_to(FILE)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", ROOT], check=True)


def rules(query: str) -> list[str]:
    """Return the rules of a query for events of the loads alone."""
    category, _, where = query.partition(" where ")
    detection = replace(
        shipped_detections()[0], audit_rule="", query=parse(f"{category} where ({where}) and {AS_LOAD}")
    )
    return derive([detection]).lines(costly=True)


def reported(lines: list[str], *programs: list[str]) -> list[int]:
    """Run programs under rules; return how many calls of each were reported."""
    with ExitStack() as stack:
        listener = stack.enter_context(Listener())
        stack.enter_context(Unicast(lines))
        pids = []
        for words in programs:
            with subprocess.Popen(words, cwd="/") as process:
                assert process.wait(LIMIT_S) == 0
            pids.append(process.pid)
        time.sleep(0.1)
        return [len(listener.ids(pid)) for pid in pids]


def python(code: str) -> list[str]:
    """Return a program that becomes the user of the loads: the interpreter may be in a folder of root."""
    return [sys.executable, "-I", "-S", "-B", "-c", BEFORE + code]


@pytest.mark.parametrize("case", CASES)
def test_derived_rule_reports_the_call_and_no_similar_one(case: str) -> None:
    query, made, other = CASES[case]
    if made is None or other is None:
        assert reported(rules(query), [*AS_OTHER, "/bin/true"]) == [1]
        return
    calls, similar = reported(rules(query), python(made), python(other))
    assert (calls > 0, similar) == (True, 0)


def test_rule_for_32_bit_programs_reports_their_calls(tmp_path: Path) -> None:
    """A 64-bit program can make a 32-bit call, whose numbers differ."""
    if platform.machine() != "x86_64":
        pytest.skip("int 0x80 is of x86")
    source = tmp_path / "narrow.c"
    source.write_text(
        'int main(void) { long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(37), "b"(4194303), "c"(34));'
        " return r == -38; }"  # ENOSYS: the kernel runs no 32-bit calls
    )
    program = compiled(source, ROOT)
    if program is None:
        pytest.skip("there is no C compiler")
    if subprocess.run([program], check=False).returncode:
        pytest.skip("this kernel runs no 32-bit calls")
    query = 'any where auditd.data.syscall == "kill" and auditd.data.a1 == "22"'
    assert reported(rules(query), [*AS_OTHER, str(program)]) == [1]


def test_root_of_the_procfs_of_a_container_is_reported() -> None:
    """A rule with -F dir=/proc sees none of its opens."""
    unshare = [
        "unshare",
        "--user",
        "--map-root-user",
        "--pid",
        "--fork",
        "--mount-proc",
        "cat",
        "/proc/version",
    ]
    if subprocess.run(unshare, check=False, capture_output=True, user=OTHER_UID, cwd="/").returncode:
        pytest.skip("unshare cannot make a procfs here")
    query = 'any where auditd.data.syscall in ("open", "openat") and file.path == "/proc"'
    with Listener() as listener, Unicast(rules(query)):
        with start_unprivileged(*unshare[:-2], "ls", "/proc") as process:
            assert process.wait(LIMIT_S) == 0
        time.sleep(0.1)
        heard = b"".join(listener.datagrams())
    assert b'comm="ls"' in heard


DETECTION = f"""
id = "signal"
name = "Real-time Signal"
version = 1
severity = "low"
risk_score = 1

[match]
"auditd.data.syscall" = "kill"
"auditd.data.a1" = {{ number = [34] }}
"user.id" = "{OTHER_UID}"

[window]
matches = 1
within = "1s"
"""


def test_run_adds_derived_rules_alerts_and_removes_them(tmp_path: Path) -> None:
    file = tmp_path / "signal.toml"
    file.write_text(DETECTION, encoding="utf-8")
    flags = ("--no-shipped", "--detections", str(file))
    with command("run", "--source", "netlink", *flags) as sensor:
        sensor.wait_until_ready()
        with Commands() as commands:
            added = [auditctl.format_rule(rule) for rule in commands.rules()]
        with subprocess.Popen(python("libc.kill(4194303, 34)"), cwd="/") as process:
            assert process.wait(LIMIT_S) == 0
        assert sensor.end() == 0
        found = sensor.documents()
        assert found, sensor.stderr
    (alert,) = of_process(found, process.pid)
    assert alert["rule"]["name"] == "Real-time Signal"
    assert f"-a always,exit -F arch=b64 -S kill -F a1=0x22 -F uid={OTHER_UID} -F key=auditsense" in added
    with Commands() as commands:
        assert not [rule for rule in commands.rules() if "auditsense" in auditctl.format_rule(rule)]
