"""Run in the guest that boot.py boots: does the sensor do its work on this kernel?

Prints `pass NAME: seen` or `fail NAME: seen` for each check, and `fact NAME: seen` for other findings, with a
tab before what was seen. The kernel's command line chooses: checks=short (the default), full, off (audit=0),
locked, or archive.
Exit code 1: a check failed.

It locks the audit configuration and sets failure to panic, which must never be done on a host that is in use.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RULE: Final = ("-w", "/proc/", "-p", "r", "-k", "audit_proc")
OTHER_UID: Final = 65534
COUNTERS: Final = re.compile(r"lost|backlog [0-9]|backlog_wait_time_actual")
failures: list[str] = []


def report(verdict: str, name: str, *seen: object) -> None:
    """Print a line. A tab ends the name, which may have a colon in it."""
    print(f"{verdict} {name}:\t{' '.join(map(str, seen))}".replace("\n", " | ")[:3000], flush=True)


def check(name: str, holds: object, *seen: object) -> None:
    """Print whether something holds."""
    if not holds:
        failures.append(name)
    report("pass" if holds else "fail", name, *seen)


def call(*words: str, limit: float = 180.0, **options: Any) -> tuple[int, str]:  # noqa: ANN401 - of subprocess
    """Run a program; return its exit code and what it wrote."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=limit, check=False, **options)
    except subprocess.TimeoutExpired:
        return 124, "it did not end"
    return done.returncode, done.stdout + done.stderr


def audit_state() -> list[str]:
    """Return the kernel's audit settings and rules."""
    lines = [*call("auditctl", "-s")[1].splitlines(), *call("auditctl", "-l")[1].splitlines()]
    return [line for line in lines if not COUNTERS.match(line)]


def check_state(name: str, before: list[str]) -> None:
    """Check that the kernel's audit is as it was; a guardian may need a moment."""
    end = time.monotonic() + 45
    while audit_state() != before and time.monotonic() < end:
        time.sleep(0.1)
    now = audit_state()
    check(f"{name}: audit as before", now == before, "" if now == before else f"{before} became {now}")


def scan(times: int = 12, pause_us: int = 50_000, table: str = "native") -> tuple[int, int]:
    """Open /proc as another user; return the scanner's pid and exit code."""
    scanner = subprocess.Popen(
        ["scan", str(times), str(pause_us), table], user=OTHER_UID, group=OTHER_UID, extra_groups=[]
    )
    return scanner.pid, scanner.wait()


class Sensor:
    """A running `auditsense run`."""

    def __init__(self, *words: str) -> None:
        # Closed when the guest ends, which is soon.
        self.out, self.err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            ["auditsense", "run", "--format", "jsonl", *words],
            stdout=self.out,
            stderr=self.err,
            start_new_session=True,
        )
        end = time.monotonic() + 120
        while "watching" not in self.messages() and self.process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)

    def messages(self) -> str:
        """Return what it wrote to standard error."""
        return os.pread(self.err.fileno(), 1 << 20, 0).decode()

    def documents(self) -> list[dict[str, Any]]:
        """Return the complete documents so far."""
        text = os.pread(self.out.fileno(), 1 << 24, 0).decode()
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("}\n")]

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """Return the documents, once there are as many or a minute has passed."""
        end = time.monotonic() + 60
        while len(self.documents()) < count and time.monotonic() < end:
            time.sleep(0.05)
        return self.documents()

    def end(self, number: int = signal.SIGTERM) -> int:
        """Stop it; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            return self.process.wait()


def expected_alert(pid: int) -> dict[str, object]:
    """Return what the alert of a scan has to tell on any kernel, by the path of the field."""
    return {
        "rule.id": "pspy",
        "process.pid": pid,
        "process.parent.pid": os.getpid(),
        "process.executable": "/usr/bin/scan",
        "process.name": "scan",
        "user.id": str(OTHER_UID),
        "file.path": "/proc",
        "auditd.data.a2": "80000",
        "auditd.data.syscall": "openat",
        "auditd.data.arch": os.uname().machine,
        "auditsense.count": 10,
        "auditsense.lost": 0,
        "auditsense.state": "alert",
        "host.name": "guest",
    }


def value(document: dict[str, Any], path: str) -> object:
    """Return the value at a path of names; None: there is none."""
    found: Any = document
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def check_alert(name: str, *words: str, before: list[str]) -> None:
    """Check that a sensor with these options reports a scan correctly and restores the host."""
    sensor = Sensor(*words)
    pid, _ = scan()
    alerts = [one for one in sensor.wait_for(1) if value(one, "rule.id") == "pspy"]
    wrong = (
        {
            path: value(alerts[0], path)
            for path, wanted in expected_alert(pid).items()
            if value(alerts[0], path) != wanted
        }
        if alerts
        else {"alert": sensor.messages()}
    )
    check(name, not wrong, wrong or "every field of the alert as expected")
    if sensor.process.poll() is None:
        check_confined(name, str(sensor.process.pid))
    code = sensor.end()
    check(f"{name}: exit code 0", code == 0, code, sensor.messages()[-600:])
    check_state(name, before)


def check_confined(name: str, main_pid: str) -> None:
    """Check that every process of a sensor has a filter of system calls and cannot gain privileges."""
    loose, users = [], {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            status = dict(
                line.split(":\t", 1)
                for line in (folder / "status").read_text(encoding="ascii").splitlines()
                if ":\t" in line
            )
            session = (folder / "stat").read_text(encoding="ascii").rpartition(") ")[2].split()[3]
            if session != main_pid:
                continue
            users[folder.name] = (
                f"uid {status['Uid'].split()[1]}, capabilities {status['CapEff'].lstrip('0') or 'none'}"
            )
            if status["Seccomp"] != "2" or status["NoNewPrivs"] != "1":
                loose.append(folder.name)
    check(f"{name}: confined", users and not loose, users, f"without a filter: {loose}" if loose else "")


def tell_kernel() -> None:
    """Print what this kernel is, and has for confinement."""
    report("fact", "kernel", os.uname().release, os.uname().machine)
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(444, None, 0, 1)  # landlock_create_ruleset, of its version
    report(
        "fact", "Landlock", f"ABI {version}" if version > 0 else f"none: {os.strerror(ctypes.get_errno())}"
    )
    report("fact", "Python", sys.version.split()[0])
    if shutil.which("auditsense"):
        report("fact", "auditsense", call("auditsense", "--version")[1].strip())


def check_doctor() -> None:
    """Check that doctor ends with findings."""
    code, text = call("auditsense", "doctor", "--json")
    try:
        findings = json.loads(text[: text.rindex("}") + 1])["findings"]
        bad = {one["id"]: one["found"] for one in findings if one["level"] not in ("ok", "note")}
        check("doctor", code in (0, 1), f"exit code {code}", bad)
    except (ValueError, KeyError) as problem:
        check("doctor", False, code, repr(problem), text[:500])  # noqa: FBT003 - fails


def short() -> None:
    """Check the work itself."""
    check_doctor()
    check_alert("alert", before=audit_state())


def off() -> None:
    """With audit=0 there is nothing to do: exit code 3."""
    for words in (
        ["run", "--duration", "1"],
        ["run", "--duration", "1", "--source", "multicast"],
        ["rules", "install"],
    ):
        code, text = call("auditsense", *words)
        check(f"audit=0, {' '.join(words)}: 3", code == 3, code, text[-300:])


def locked() -> None:
    """With the rule in a locked configuration the sensor listens by multicast and changes nothing."""
    call("auditctl", *RULE)
    call("auditctl", "-e", "2")
    before = audit_state()
    code, text = call("auditsense", "run", "--source", "netlink", "--duration", "1")
    check("locked, as the owner: 4", code == 4, code, text[-300:])
    check_alert("locked, multicast", before=before)


def panics() -> None:
    """With failure 2 a full queue would panic the kernel: refused, and nothing is changed."""
    call("auditctl", "-e", "0")  # while it is on, the kernel itself panics over a record that has no reader
    before = audit_state()
    call("auditctl", "-f", "2")
    changed = audit_state()
    for words in (["--source", "netlink"], []):
        code, text = call("auditsense", "run", "--duration", "1", *words)
        check(f"failure 2, {' '.join(words) or 'automatically'}: 4", code == 4, code, text[-300:])
    check_state("failure 2", changed)
    call("auditctl", "-f", "1")
    check_state("failure 1 again", before)


def without_access() -> None:
    """Where the kernel's audit does not answer: exit code 3."""
    before = audit_state()
    places: dict[str, tuple[Sequence[str], dict[str, Any]]] = {
        "another user": ((), {"user": OTHER_UID, "group": OTHER_UID, "extra_groups": []}),
        "a user namespace": (("unshare", "-Ur"), {}),
        "a pid namespace": (("unshare", "-pf", "--mount-proc"), {}),
        "no CAP_AUDIT_CONTROL": (
            ("setpriv", "--bounding-set", "-audit_control", "--inh-caps", "-audit_control"),
            {},
        ),
    }
    for name, (prefix, options) in places.items():
        code, text = call(*prefix, "auditsense", "run", "--duration", "1", **options)
        check(f"{name}: 3", code == 3, code, text[-300:])
    check_state("without access", before)


def killed() -> None:
    """The guardian restores the host when the sensor is killed."""
    before = audit_state()
    sensor = Sensor()
    during = audit_state()
    sensor.end(signal.SIGKILL)
    check("killed: it had taken over", during != before)
    check_state("killed", before)


def burst() -> None:
    """Count every open of a burst, or every loss."""
    times = 20_000
    before = audit_state()
    sensor = Sensor()
    pid, _ = scan(times, 0)
    scan(12, 10_000)
    sensor.wait_for(2)
    code = sensor.end()
    mine = [one for one in sensor.documents() if value(one, "process.pid") == pid]
    counted = max((int(str(value(one, "auditsense.count"))) for one in mine), default=0)
    lost = max((int(str(value(one, "auditsense.lost"))) for one in mine), default=0)
    check(
        "burst",
        code == 0 and (counted == times or lost > 0),
        f"{counted:,} of {times:,} opens counted, {lost:,} lost and reported",
    )
    check_state("burst", before)


def other_tables() -> None:
    """Print which other system call tables the kernel has, and that their opens are reported."""
    sensor = Sensor("-o", "events")
    for table in ("int80", "x32"):
        pid, code = scan(3, 20_000, table)
        time.sleep(1)
        seen = sum(value(one, "process.pid") == pid for one in sensor.documents())
        report("fact", f"table {table}", "not on this kernel" if code else f"{seen} of 3 opens reported")
    sensor.end()


def golden_rules() -> None:
    """Check that the kernel gets the same rule from us as from auditctl, for each line that both accept."""
    sys.path.insert(0, "/usr/lib/auditsense")
    from auditsense.errors import AuditSenseError  # noqa: PLC0415 - only this check needs the package
    from auditsense.kernel.commands import Commands  # noqa: PLC0415
    from auditsense.kernel.rules import auditctl  # noqa: PLC0415

    before, same, refused, different = audit_state(), 0, 0, []
    lines = Path("/rules.txt").read_text(encoding="utf-8").splitlines()
    with Commands() as commands:
        for line in filter(None, (line.partition("#")[0].strip() for line in lines)):
            try:
                words, rule = shlex.split(line), auditctl.parse(line)
                theirs = call("auditctl", *words)[0] == 0 and commands.rules()
                call("auditctl", "-D")
                commands.add_rule(rule)
            except (AuditSenseError, ValueError):
                refused += 1
            else:
                ours = commands.rules()
                if theirs and ours != theirs:
                    different.append(f"{line}: {ours} and not {theirs}")
                same += bool(theirs) and ours == theirs
            call("auditctl", "-D")
    check(
        "golden rules",
        same > 50 and not different,
        f"{same} lines the same as by auditctl, {refused} refused",
        different[:3],
    )
    check_state("golden rules", before)


def next_to_auditd() -> None:
    """Next to auditd the sensor listens by multicast."""
    first = audit_state()
    Path("/etc/audit/auditd.conf").write_text(
        "log_file = /var/log/audit/audit.log\nlocal_events = yes\nflush = NONE\n"
        "space_left = 20\nadmin_space_left = 10\n",
        encoding="ascii",
    )
    daemon = subprocess.Popen(["auditd", "-n"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 20
    while f"pid {daemon.pid}" not in call("auditctl", "-s")[1] and time.monotonic() < end:
        time.sleep(0.1)
    call("auditctl", *RULE)
    code, text = call("auditsense", "run", "--source", "netlink", "--duration", "1")
    check("with auditd, as the owner: 5", code == 5, code, text[-300:])
    check_alert("with auditd, multicast", before=audit_state())
    daemon.terminate()
    daemon.wait(30)
    was = dict(line.split(" ", 1) for line in first)
    for words in (
        ("-D",),
        ("-e", was["enabled"]),
        ("-b", was["backlog_limit"]),
        ("--backlog_wait_time", was["backlog_wait_time"]),
    ):
        call("auditctl", *words)
    check_state("after auditd", first)


def full() -> None:
    """Check all of it; the last one locks the configuration until the guest ends."""
    short()
    before = audit_state()
    check_alert("lean", "--lean", before=before)
    check_alert("root's own", "--user", "root", before=before)
    killed()
    burst()
    other_tables()
    without_access()
    golden_rules()
    panics()
    next_to_auditd()
    locked()


CHECKS: Final[dict[str, Callable[[], None]]] = {
    "short": short,
    "full": full,
    "off": off,
    "locked": locked,
    "archive": short,  # of another package
}


def conclude(checks: Callable[[], None]) -> int:
    """Run checks; return the exit code of the guest."""
    try:
        tell_kernel()
        checks()
    except Exception:  # noqa: BLE001 - the guest has to report it and end
        failures.append("checks")
        report("fail", "checks", traceback.format_exc())
    print(f"{len(failures)} failed", flush=True)
    return int(bool(failures))


def main() -> int:
    """Run the checks that the command line names."""
    chosen = re.search(r"checks=(\w+)", Path("/proc/cmdline").read_text(encoding="ascii"))
    return conclude(CHECKS[chosen.group(1) if chosen else "short"])


if __name__ == "__main__":
    sys.exit(main())
