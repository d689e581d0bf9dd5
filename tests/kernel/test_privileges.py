"""Dropped privileges are gone, in the process and in its children. Each test runs its own process."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from auditsense.errors import AuditSenseError
from auditsense.kernel import privileges

KEEP = """
import os, sys
from auditsense.kernel import privileges
privileges.keep_only(*(int(number) for number in sys.argv[1:]))
if os.environ.get("THEN"):
    os.execvp(sys.executable, [sys.executable, "-I", "-S", "-c", os.environ["THEN"]])
print(open("/proc/self/status").read())
"""
SHOW = "print(open('/proc/self/status').read())"
SETS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
CAP_AUDIT_CONTROL, CAP_AUDIT_READ = 30, 37


def run(*capabilities: int, then: str = "") -> dict[str, str]:
    """Return /proc/self/status of a process that kept only these, or of the program that it executed."""
    ended = subprocess.run(
        [sys.executable, "-P", "-c", KEEP, *map(str, capabilities)],
        env={**os.environ, "THEN": then},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return dict(line.split(":\t", 1) for line in ended.stdout.splitlines() if ":\t" in line)


def capabilities(status: dict[str, str]) -> dict[str, set[int]]:
    masks = {name: int(status[name], 16) for name in SETS}
    return {name: {bit for bit in range(64) if mask >> bit & 1} for name, mask in masks.items()}


def own() -> set[int]:
    (mask,) = re.findall(r"^CapPrm:\s*(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return {bit for bit in range(64) if int(mask, 16) >> bit & 1}


@pytest.mark.parametrize("kept", [(), (CAP_AUDIT_CONTROL,), (CAP_AUDIT_CONTROL, CAP_AUDIT_READ)])
def test_only_requested_and_held_capabilities_stay(kept: tuple[int, ...]) -> None:
    status = run(*kept)
    sets = capabilities(status)
    assert sets["CapPrm"] == sets["CapEff"] == {*kept} & own()
    assert sets["CapInh"] == sets["CapAmb"] == set()
    assert status["NoNewPrivs"] == "1"
    if os.geteuid() == 0:
        assert sets["CapBnd"] <= {*kept}


def test_executed_program_gains_no_capability() -> None:
    status = run(CAP_AUDIT_CONTROL, then=SHOW)
    for numbers in capabilities(status).values():
        assert numbers <= {CAP_AUDIT_CONTROL} or os.geteuid() != 0
    assert capabilities(status)["CapEff"] <= {CAP_AUDIT_CONTROL}
    assert status["NoNewPrivs"] == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has something to lose")
def test_dropped_capabilities_cannot_be_regained() -> None:
    tried = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
header = (ctypes.c_uint32 * 2)(0x20080522, 0)
data = (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)
print("Again:\\t", libc.capset(header, data), ctypes.get_errno())
try:
    os.setresuid(65534, 65534, 65534)
    print("Uid:\\t another")
except PermissionError:
    print("Uid:\\t the same")
"""
    status = run(CAP_AUDIT_CONTROL, then=tried)
    assert status["Again"].split() == ["-1", "1"]
    assert status["Uid"].strip() == "the same"


AMBIENT = """
import ctypes, sys
from auditsense.kernel import privileges
libc = ctypes.CDLL(None, use_errno=True)
header, data = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
assert libc.capget(header, data) == 0
data[2], data[5] = data[1], data[4]  # inheritable: all that is permitted
assert libc.capset(header, data) == 0
for number in (10, 30):
    assert libc.prctl(47, 2, number, 0, 0) == 0  # PR_CAP_AMBIENT_RAISE
before = next(line for line in open("/proc/self/status") if line.startswith("CapAmb"))
assert int(before.split()[1], 16) == 1 << 10 | 1 << 30
privileges.keep_only(30)
print(open("/proc/self/status").read())
"""
GROUPS = """
import os
import re
from auditsense.kernel import privileges
os.setgroups([4, 24, 27])
privileges.keep_only(30, user=privileges.User(65534, 65534))
print(open("/proc/self/status").read())
"""


def status_of(script: str) -> dict[str, str]:
    ended = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True, timeout=300
    )
    return dict(line.split(":\t", 1) for line in ended.stdout.splitlines() if ":\t" in line)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make some capabilities ambient")
def test_ambient_capabilities_are_dropped() -> None:
    sets = capabilities(status_of(AMBIENT))
    assert sets["CapAmb"] == sets["CapInh"] == set()
    assert sets["CapEff"] == {30}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_new_user_has_no_supplementary_groups() -> None:
    status = status_of(GROUPS)
    assert status["Groups"].split() == []
    assert {*status["Uid"].split(), *status["Gid"].split()} == {"65534"}


LATER_GUARDIAN = """
import os
from auditsense.kernel.confinement import PARTS, confine
from auditsense.kernel.privileges import User
user = User(65534, 65534)
confine(PARTS["sensor"], user)
pid = os.fork()
if pid == 0:
    confine(PARTS["guardian"], user)
    os._exit(7)
print("Ended:\\t", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_confined_sensor_can_start_another_guardian() -> None:
    assert status_of(LATER_GUARDIAN)["Ended"].strip() == "7"


def test_refusal_is_an_error_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        ctypes.set_errno(errno.EPERM)
        return -1

    monkeypatch.setattr(privileges, "libc", lambda: SimpleNamespace(prctl=refuse))
    with pytest.raises(AuditSenseError, match=r"^cannot .+: Operation not permitted$"):
        privileges.keep_only()


@pytest.mark.parametrize(
    ("passwd", "expected"),
    [
        ("root:x:0:0::/:/bin/sh\nauditsense:x:998:997::/:/bin/false\n", (998, 997, "auditsense")),
        ("auditsense:x:0:0::/:/bin/sh\n", None),  # root by another name
        ("auditsense:x:998:0::/:/bin/sh\n", None),
        ("no account\nauditsense:x:?:?::/\n", None),
        ("", None),
    ],
)
def test_service_user_is_the_account_or_an_id_without_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, passwd: str, expected: tuple[int, int, str] | None
) -> None:
    (tmp_path / "passwd").write_text(passwd)
    monkeypatch.setattr(privileges, "_PASSWD", tmp_path / "passwd")
    found = privileges.service_user()
    if expected is not None:
        assert (found.uid, found.gid, found.name) == expected
    else:
        assert found.uid == found.gid in range(privileges.FIRST_UNNAMED, privileges.LAST_UNNAMED + 1)
        assert found.name == ""
        assert privileges.service_user({found.uid}).uid != found.uid


def test_id_of_an_account_is_not_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = range(privileges.FIRST_UNNAMED, privileges.LAST_UNNAMED)
    (tmp_path / "passwd").write_text("".join(f"u{number}:x:{number}:1::/:/\n" for number in known))
    monkeypatch.setattr(privileges, "_PASSWD", tmp_path / "passwd")
    assert privileges.service_user().uid == privileges.LAST_UNNAMED
    with pytest.raises(AuditSenseError, match=r"^every user id from 60706 to 61183 is in use; create "):
        privileges.service_user({privileges.LAST_UNNAMED})
