"""Run in the guest whose first process is systemd: does the service of the package do its work?

dpkg installs an older version, starts the service as an administrator does, upgrades it and purges it.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from scripts.kernels.checks import (
    audit_state,
    call,
    check,
    check_confined,
    check_state,
    conclude,
    report,
    scan,
)

if TYPE_CHECKING:
    from collections.abc import Callable

UNIT = "auditsense.service"
SESSION_S = 900.0  # dpkg compiles Python's files, which takes minutes in emulation


def wait_for(holds: Callable[[], object], limit: float = 90.0) -> object:
    """Return whether something holds within a time."""
    end = time.monotonic() + limit
    while not (found := holds()) and time.monotonic() < end:
        time.sleep(0.5)
    return found


def unit(name: str) -> str:
    """Return a property of the sensor's unit."""
    return call("systemctl", "show", "-P", name, UNIT)[1].strip()


def running() -> bool:
    """Tell whether the sensor has told systemd that it is ready."""
    return unit("ActiveState") == "active" and unit("SubState") == "running"


def alerts(pid: int) -> list[dict[str, Any]]:
    """Return the alerts in the journal about a process."""
    code, text = call("journalctl", "-q", "-o", "json", "RULE_ID=pspy", f"PROCESS_PID={pid}")
    return [json.loads(line) for line in text.splitlines()] if code == 0 else []


def messages() -> str:
    """Return what the unit has written to the journal since the guest began."""
    return call("journalctl", "-q", "-u", UNIT, "-o", "cat")[1]


def check_alert(name: str, main_pid: str) -> None:
    """Check that a scan becomes an entry of the journal, by the process that systemd started."""
    pid, _ = scan()
    found = wait_for(lambda: alerts(pid), 60.0)
    entry = found[0] if isinstance(found, list) and found else {}
    right = entry.get("_SYSTEMD_UNIT") == UNIT and entry.get("SYSLOG_IDENTIFIER") == "auditsense"
    sender = entry.get("_PID")
    tail = call("journalctl", "-q", "-u", UNIT, "-n", "8", "-o", "cat")[1]
    check(f"{name}: alert in the journal", right, entry.get("MESSAGE") or tail, f"by {sender} of {main_pid}")


def install(name: str, file: str) -> None:
    """Install a package with dpkg."""
    started = time.monotonic()
    code, text = call("dpkg", "-i", f"/packages/{file}", limit=SESSION_S)
    check(f"{name}: dpkg -i", code == 0, f"{time.monotonic() - started:.0f} s", text[-1500:] if code else "")


def service() -> None:
    """Install, enable, restart, kill, upgrade, stop and purge."""
    report("fact", "systemd", call("systemctl", "--version")[1].splitlines()[0])
    install("install", "older.deb")
    state = call("systemctl", "is-enabled", UNIT)[1].strip(), unit("ActiveState")
    check("install: starts nothing", state == ("disabled", "inactive"), *state)
    before = audit_state()

    started = time.monotonic()
    code, text = call("systemctl", "enable", "--now", UNIT, limit=SESSION_S)
    logged = "" if code == 0 else call("journalctl", "-q", "-b", "-n", "40", "-o", "short-monotonic")[1]
    check("enable --now", code == 0 and running(), f"{time.monotonic() - started:.0f} s", logged)
    first = unit("MainPID")
    check_confined("service", first)
    check_alert("service", first)
    report("fact", "exposure", call("systemd-analyze", "security", "--no-pager", UNIT)[1].splitlines()[-1])

    code, text = call("systemctl", "reload", UNIT)  # which only sends the signal
    wait_for(lambda: "configuration reloaded" in messages() and running())
    same = code == 0 and running() and unit("MainPID") == first
    logged = messages()
    check("reload: the same process", same and "configuration reloaded" in logged, text, logged[-1500:])

    code, text = call("systemctl", "restart", UNIT, limit=SESSION_S)
    second = unit("MainPID")
    check("restart", code == 0 and running() and second != first, f"{first} became {second}", text)
    check_alert("restart", second)

    call("systemctl", "kill", "--kill-whom=main", "-s", "KILL", UNIT)
    wait_for(lambda: unit("NRestarts") == "1" and running(), SESSION_S)
    third = unit("MainPID")
    check("killed: restarted", running() and third not in {second, "0"}, f"{second} became {third}")
    check_alert("killed", third)

    install("upgrade", "auditsense.deb")
    wait_for(running, SESSION_S)
    fourth = unit("MainPID")
    check("upgrade: restarted", running() and fourth not in {third, "0"}, f"{third} became {fourth}")
    report("fact", "auditsense", call("auditsense", "--version")[1].strip())
    check_alert("upgrade", fourth)

    call("systemctl", "stop", UNIT)
    check("stop", unit("Result") == "success" and unit("ActiveState") == "inactive", unit("Result"))
    rules = call("auditctl", "-l")[1].splitlines()
    check("stop: the rule of auditsense-rules.service stays", len(rules) == 1 and "/proc" in rules[0], rules)
    call("systemctl", "stop", "auditsense-rules.service")
    check_state("stop", before)

    call("systemctl", "start", UNIT, limit=SESSION_S)
    check("start again", running(), unit("Result"))
    code, text = call("dpkg", "--purge", "auditsense", limit=SESSION_S)
    left = call("systemctl", "list-unit-files", "auditsense*", "--no-legend")[1].strip()
    check(
        "purge", code == 0 and not left and unit("ActiveState") != "active", text[-500:] if code else "", left
    )
    check_state("purge", before)
    failed = call("systemctl", "--failed", "--no-legend", "--plain")[1].strip()
    check("no failed unit", "auditsense" not in failed, failed)


if __name__ == "__main__":
    sys.exit(conclude(service))
