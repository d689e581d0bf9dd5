"""Key of a call that two audit rules match: `kernel.rules.shadowing` against the kernel."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import pytest

from auditsense.kernel.rules import auditctl
from auditsense.kernel.rules.shadowing import EXEC, READ, WRITE, steals
from auditsense.sources.unicast import Unicast
from tests.live.workloads import OTHER_UID, Listener, audit_rule, start_unprivileged

LIMIT_S = 300.0
BITS = {"r": READ, "w": WRITE, "x": EXEC, "a": 8}
KEY = re.compile(rb' key="([a-z]+)"')


def first_key(listener: Listener, pid: int) -> str:
    """Return the key of the first call of a process that was reported under one of our rules."""
    of_process = re.compile(f"audit\\([\\d.:]+\\): arch=.* pid={pid} ".encode())
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        for datagram in listener.datagrams():
            found = KEY.search(datagram)
            if of_process.match(datagram[16:]) and found is not None:
                return found[1].decode()
        time.sleep(0.01)
    raise AssertionError("nothing was reported")


def key_of(earlier: str, wanted: str, *words: str) -> str:
    """Run a program as the user of our loads under two rules; return which key its call got."""
    with Listener() as listener, audit_rule(earlier), Unicast([wanted]):
        with start_unprivileged(*words) as process:
            process.wait(LIMIT_S)
        return first_key(listener, process.pid)


@pytest.mark.parametrize("perm", ["r", "w", "a", "rwa", "x", "rwxa"])
def test_a_permission_takes_the_start_of_a_program_or_not(perm: str) -> None:
    program = os.path.realpath("/bin/true")
    earlier = f"-a always,exit -F path={program} -F perm={perm} -F uid={OTHER_UID} -k first"
    wanted = f"-a always,exit -F arch=b64 -S execve -F uid={OTHER_UID} -k second"
    taken = key_of(earlier, wanted, program) == "first"
    assert taken == steals(auditctl.parse(earlier), auditctl.parse(wanted)) == ("x" in perm)


@pytest.mark.parametrize("perm", ["r", "w", "a", "x"])
@pytest.mark.parametrize(("opening", "bits"), [("<", READ), (">>", WRITE), ("<>", READ | WRITE)])
def test_a_permission_takes_an_open_by_its_mode(perm: str, opening: str, bits: int) -> None:
    file = Path("/tmp") / f"auditsense-overlap-{os.getpid()}"  # noqa: S108 - where others may go
    file.write_text("")
    file.chmod(0o666)
    try:
        earlier = f"-a always,exit -F path={file} -F perm={perm} -F uid={OTHER_UID} -k first"
        wanted = f"-a always,exit -F path={file} -F uid={OTHER_UID} -k second"
        taken = key_of(earlier, wanted, "/bin/sh", "-c", f": {opening}{file}") == "first"
    finally:
        file.unlink()
    assert taken == bool(BITS[perm] & bits)
    assert not taken or steals(auditctl.parse(earlier), auditctl.parse(wanted))
