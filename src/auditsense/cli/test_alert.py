"""auditsense test-alert: provoke one harmless alert, and report where it went."""

from __future__ import annotations

import os
import re
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from auditsense.cli import print_data, print_progress
from auditsense.config.settings import status_settings
from auditsense.errors import AuditSenseError, UsageError
from auditsense.kernel import privileges
from auditsense.sinks.format import printable
from auditsense.status.client import NotRunningError, ask

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from auditsense.kernel.privileges import User

    Status = Mapping[str, Any]

_DETECTION: Final = "pspy"
_OPENS: Final = 12  # of /proc; the detection counts ten
_COMPLETING: Final = 10
_PAUSE_S: Final = 0.02
_ATTEMPTS: Final = 3  # another alert may come at the same moment
_SINKS_S: Final = 2.0  # longest wait for the sinks after the alert
_MOMENT: Final = struct.Struct("=d")
_NAME: Final = "test-alert"
_SELECTS: Final = re.compile(r"-F (?:[a-z]*[ug]id|pid|ppid|exe|sessionid|loginuid|arch|subj_\w+)\W")


def run(arguments: argparse.Namespace) -> int:
    """Provoke an alert of the running sensor. Returns 1 if none came, or a sink did not write it."""
    path = status_settings(arguments.status_socket, arguments.config).socket
    if path is None:
        raise UsageError("there is no status socket: it is off, so no sensor can be asked for its alerts")
    before = _running(path)
    _require_detection(before)
    print_progress(f"opening /proc {_OPENS} times, as a process spy does")
    for _attempt in range(_ATTEMPTS):
        pid, completed_s = _provoke(arguments.user)
        now = before
        deadline_s = time.monotonic() + arguments.timeout
        while time.monotonic() < deadline_s:
            now = _running(path)
            if (alert := now["last_alert"]) and alert["process"]["pid"] == pid:
                return _report(path, before, alert, completed_s)
            time.sleep(_PAUSE_S)
        if _alerts(now) == _alerts(before):
            break  # else another alert may have hidden this one
    raise AuditSenseError(f"no alert came within {arguments.timeout:g} s: {_reason(before, now, pid)}")


def _running(path: Path) -> dict[str, Any]:
    try:
        status = ask(path)
    except NotRunningError:
        raise AuditSenseError(
            f"no sensor answers at {path}; start one: auditsense run in another terminal, or systemctl start "
            "auditsense.service"
        ) from None
    if "last_alert" not in status:
        raise AuditSenseError(f"the sensor at {path} is an older version; restart it")
    return status


def _require_detection(status: Status) -> None:
    if status["output"] == "events":
        raise AuditSenseError("the sensor prints events (-o events), not alerts; run it with -o alerts")
    if _DETECTION not in {counts["id"] for counts in status["detection_counts"]}:
        raise AuditSenseError(
            f"the sensor does not have the detection {_DETECTION}, which this test provokes; "
            "auditsense detections list shows the shipped ones"
        )


def _alerts(status: Status) -> int:
    return sum(counts["sequences"] + counts["alerts"] for counts in status["detection_counts"])


# --- the harmless process ----------------------------------------------------------------


def _provoke(user: User | None) -> tuple[int, float]:
    """Run a child that opens /proc. Returns its pid, and when it made the completing open.

    Raises:
        AuditSenseError: it cannot be started, or cannot become the user.
    """
    reading, writing = os.pipe()
    try:
        pid = os.fork()
    except OSError as error:
        os.close(reading)
        os.close(writing)
        raise AuditSenseError(f"cannot start a process: {error.strerror}") from None
    if pid == 0:
        _open_proc(user, writing)
    os.close(writing)
    moment = os.read(reading, _MOMENT.size)
    os.close(reading)
    os.waitpid(pid, 0)
    if len(moment) != _MOMENT.size:
        as_user = f" as user {user.name or user.uid}" if user is not None else ""
        raise AuditSenseError(f"the test process could not open /proc{as_user}")
    return pid, float(_MOMENT.unpack(moment)[0])


def _open_proc(user: User | None, writing: int) -> NoReturn:
    """Open /proc with the flags of the detection. In the child: never returns."""
    code = 1
    try:
        with suppress(OSError):
            Path("/proc/self/comm").write_text(_NAME, encoding="ascii")
        if user is not None:
            privileges.keep_only(user=user)
        for number in range(1, _OPENS + 1):
            os.close(os.open("/proc", os.O_RDONLY))  # Python adds O_CLOEXEC
            if number == _COMPLETING:
                moment = _MOMENT.pack(time.time())
            time.sleep(_PAUSE_S)
        os.write(writing, moment)
        code = 0
    finally:
        os._exit(code)


# --- the report --------------------------------------------------------------------------


def _report(path: Path, before: Status, alert: Mapping[str, Any], completed_s: float) -> int:
    process = alert["process"]
    latency_ms = max(0, round((alert["time"] - completed_s) * 1000))
    print_data(f"alert      {printable(str(alert['rule_id']))}, event.id {alert['event_id']}")
    program = f"{process.get('name')} ({process.get('executable')})"
    print_data(f"process    {process['pid']} {printable(program)}, {_OPENS} opens of /proc")
    print_data(f"latency    {latency_ms} ms after the open that completed it")
    failed = False
    for name, destination, outcome in _outcomes(path, before):
        failed = failed or outcome != "written"
        print_data(f"sink       {printable(f'{name}{destination}: {outcome}')}")
    if failed:
        raise AuditSenseError("not every sink has written the alert; auditsense status shows their counters")
    return 0


def _outcomes(path: Path, before: Status) -> Iterator[tuple[str, str, str]]:
    """Yield the name of each sink, where it writes, and what became of the alert."""
    counted = {sink["name"]: sink for sink in before["sinks"]}
    deadline_s = time.monotonic() + _SINKS_S
    while True:
        now = _running(path)
        outcomes = [(sink, _outcome(counted.get(sink["name"], {}), sink)) for sink in now["sinks"]]
        if all(outcome == "written" for _, outcome in outcomes) or time.monotonic() > deadline_s:
            break
        time.sleep(_PAUSE_S)
    for sink, outcome in outcomes:
        destination = _standard_output(now["pid"]) if sink["name"] == "stdout" else ""
        yield sink["name"], f" ({destination})" if destination else "", outcome


def _outcome(before: Status, now: Status) -> str:
    if now["written"] > before.get("written", 0):
        return "written"
    for count in ("dropped", "failed"):
        if now[count] > before.get(count, 0):
            return f"{count} ({now['problem']})" if now.get("problem") else count
    return f"waiting ({now['problem']})" if now.get("problem") else "waiting"


def _standard_output(pid: int) -> str:
    """Return where the standard output of a process goes, in words; "" when that cannot be known."""
    process = Path(f"/proc/{pid}")
    try:
        target = str((process / "fd/1").readlink())
    except OSError:
        return ""
    if target.startswith(("/dev/pts/", "/dev/tty")):
        return f"terminal {target}"
    if target.startswith("/"):
        return f"file {target}"
    with suppress(OSError, ValueError):
        status = (process / "fd/1").stat()
        wanted = f"JOURNAL_STREAM={status.st_dev}:{status.st_ino}".encode()
        if wanted in (process / "environ").read_bytes().split(b"\0"):
            unit = (process / "cgroup").read_text().strip().rpartition("/")[2]
            return f"the journal: journalctl -u {unit} -o cat" if unit.endswith(".service") else "the journal"
    return "a pipe" if target.startswith("pipe:") else ""


# --- why none came -------------------------------------------------------------------------


def _reason(before: Status, now: Status, pid: int) -> str:
    """Return why no alert came, as far as the counters tell, and what to do."""

    def grown(group: str, name: str) -> int:
        return int(now[group][name]) - int(before[group][name])

    excepted = ""
    if grown("counters", "excepted") >= _COMPLETING:
        counts = {_key(entry): entry["events"] for entry in before["exceptions"]}
        took = [entry for entry in now["exceptions"] if entry["events"] > counts.get(_key(entry), 0)]
        excepted = f' ("{took[0]["comment"]}", {took[0]["origin"]})' if took else " "
    rules = "; ".join(rule for rule in now["audit_rules"] if _SELECTS.search(rule))
    reasons = (
        (now["pid"] != before["pid"], "the sensor was restarted; try again"),
        (
            (now["kernel"] or {}).get("enabled") == 0,
            "kernel audit is off (enabled 0); auditsense doctor shows what to do",
        ),
        (excepted, f"an exception took the events of the test{excepted.rstrip()}; try --user NAME"),
        (
            grown("alerts", "withheld"),
            "it was withheld, because the limit of alerts is reached; it is sent in a later interval",
        ),
        (
            grown("counters", "matches") >= _COMPLETING,
            f"process {pid} matched without an alert; see auditsense detections show {_DETECTION}",
        ),
        (rules, f"the audit rule may not see the user of the test ({rules}); try --user NAME"),
        (
            now["source"]["name"] not in {"netlink", "multicast"},
            "auditd may lack the audit rule, or write late; auditsense rules print shows the rule",
        ),
        (True, "no record of the test came; auditsense doctor diagnoses this host"),
    )
    return next(reason for holds, reason in reasons if holds)


def _key(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    return entry["detection"], entry["comment"], entry["origin"]
