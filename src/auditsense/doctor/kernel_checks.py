"""Checks of the kernel's audit: access, settings, owner, rules.

A check judges facts and returns one finding; None where a fact is missing. Its name is its id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditsense.doctor.finding import Finding, Level
from auditsense.doctor.pages import documentation
from auditsense.kernel.audit_status import Enabled, Failure
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT
from auditsense.kernel.rules import auditctl
from auditsense.kernel.tamper import Expected, compare

if TYPE_CHECKING:
    from auditsense.doctor.facts import Facts

_OFF: Final = frozenset({"0", "off"})
_ON: Final = frozenset({"1", "on"})
_SHORT_BACKLOG: Final = 8192  # the value of distributions; longer is better


def _ours(facts: Facts) -> bool:
    """Return whether the owner of the socket is the sensor that answers."""
    return (
        facts.sensor is not None and facts.status is not None and facts.sensor.get("pid") == facts.status.pid
    )


def _owned(facts: Facts) -> bool:
    """Return whether a living process other than our sensor owns the socket."""
    return facts.status is not None and facts.status.pid != 0 and facts.owner != "" and not _ours(facts)


def kernel_audit(facts: Facts) -> Finding | None:
    """Whether the kernel's audit answers this process."""
    if not facts.refused:
        return Finding("kernel-audit", Level.OK, "the kernel's audit answers")
    if facts.no_audit and facts.boot in _OFF:
        return None  # boot-parameter reports it
    return Finding(
        "kernel-audit",
        Level.ERROR,
        facts.refused,
        "boot a kernel that has CONFIG_AUDIT"
        if facts.no_audit
        else "run doctor and the sensor as root, on the host itself",
    )


def boot_parameter(facts: Facts) -> Finding | None:
    """Whether audit was switched off at boot."""
    if facts.boot is None:
        return None
    if facts.boot in _OFF:
        return Finding(
            "boot-parameter",
            Level.ERROR,
            f"the kernel was booted with audit={facts.boot}: it has no audit until the next boot",
            "remove it from the kernel's command line, better: put audit=1 there, and reboot",
        )
    parameter = f"audit={facts.boot}" if facts.boot else "no audit="
    return Finding("boot-parameter", Level.OK, f"{parameter} on the kernel's command line")


def unaudited_processes(facts: Facts) -> Finding | None:
    """Whether processes are never reported, because they are older than the kernel's audit."""
    if facts.boot is None or facts.status is None or facts.processes is None:
        return None
    if facts.boot in _ON:
        return Finding("unaudited-processes", Level.OK, "audit was on from the boot: none is older")
    started = facts.sensor.get("started") if facts.sensor is not None else None
    if isinstance(started, int | float):
        older = sum(start < started for start in facts.processes)
        most = f"{older} of {len(facts.processes)}"
    else:
        most = f"{len(facts.processes)}"
    return Finding(
        "unaudited-processes",
        Level.NOTE,  # so is every host without audit=1
        f"up to {most} running processes are never reported: they started before audit was first on",
        "boot with audit=1, or restart the processes to be seen while the sensor runs",
    )


def audit_enabled(facts: Facts) -> Finding | None:
    """Whether audit is on where it has to be."""
    if facts.status is None:
        return None
    if facts.status.enabled != Enabled.OFF:
        return Finding("audit-enabled", Level.OK, "audit is on")
    if facts.reads_text:
        return Finding(
            "audit-enabled",
            Level.NOTE,
            f"audit is off (enabled 0), and the sensor reads {facts.source}: if another program of this host "
            "writes that, it writes no records",
            "auditctl -e 1, unless the records are of another host",
        )
    if facts.sensor is not None:
        return Finding(
            "audit-enabled",
            Level.ERROR,
            "audit is off (enabled 0) although a sensor runs: it receives nothing",
            "find who switched it off (the sensor has reported when); auditctl -e 1, or restart the sensor",
        )
    if _owned(facts):
        return Finding(
            "audit-enabled",
            Level.WARNING,
            f"audit is off (enabled 0), and process {facts.status.pid} ({facts.owner}) owns the socket: "
            "a sensor would receive nothing",
            "auditctl -e 1, or stop that process and let the sensor own the socket",
        )
    return Finding("audit-enabled", Level.OK, "audit is off; a sensor turns it on while it runs")


def audit_locked(facts: Facts) -> Finding | None:
    """Whether the configuration can be changed."""
    if facts.status is None:
        return None
    if facts.status.enabled != Enabled.LOCKED:
        return Finding("audit-locked", Level.OK, "the configuration is not locked")
    return Finding(
        "audit-locked",
        Level.WARNING,
        "the audit configuration is locked until the next boot (enabled 2): a sensor can only listen, to "
        "what the existing rules report",
        "put the audit rule (auditsense rules print) into /etc/audit/rules.d before the line -e 2, and "
        "reboot",
    )


def failure_mode(facts: Facts) -> Finding | None:
    """Whether a lost record would stop the machine."""
    if facts.status is None:
        return None
    if facts.status.failure != Failure.PANIC:
        return Finding("failure-mode", Level.OK, "the kernel does not panic when it loses a record")
    return Finding(
        "failure-mode",
        Level.WARNING,
        "failure is 2: the kernel panics when it loses a record; a sensor changes nothing then, adds no "
        "rule, and can only listen where audit is on",
        "auditctl -f 1, unless the host is to stop rather than lose a record",
    )


def socket_owner(facts: Facts) -> Finding | None:
    """Whether a process owns the audit socket."""
    if facts.status is None:
        return None
    pid = facts.status.pid
    if not pid:
        if facts.status.enabled == Enabled.OFF:
            return Finding("socket-owner", Level.OK, "no process owns the audit socket")
        return Finding(
            "socket-owner",
            Level.WARNING,
            "audit is on and no process owns the audit socket: the kernel prints every record to its log",
            "start auditd or a sensor, or switch audit off: auditctl -e 0",
        )
    if _ours(facts):
        return Finding("socket-owner", Level.OK, f"the running sensor ({pid}) owns the audit socket")
    if not facts.owner:
        return Finding(
            "socket-owner",
            Level.NOTE,
            f"process {pid} owns the audit socket, and is not seen: it has ended (the kernel notices with "
            "the next record), or it is in another pid namespace",
            "nothing where it has ended; a sensor takes the socket over",
        )
    return Finding(
        "socket-owner",
        Level.NOTE,
        f"process {pid} ({facts.owner}) owns the audit socket; a sensor listens alongside it by multicast",
        "nothing; or stop it, for a sensor that owns the socket, costs less and is not reported itself",
    )


def _rules(facts: Facts, part: str) -> str | None:
    """Return the deviations of one kind (`kernel.tamper`), with rules where a sensor would add them.

    None: unknown.
    """
    if facts.status is None or facts.rules is None:
        return None
    listed = list(facts.rules)
    if facts.sensor is None:
        listed += [wanted for wanted in facts.wanted if not any(rule.same_as(wanted) for rule in listed)]
    deviations = compare(Expected(rules=facts.wanted), facts.status, listed)
    return "; ".join(deviation.message for deviation in deviations if deviation.id.rpartition(".")[2] == part)


def audit_rule(facts: Facts) -> Finding | None:
    """Whether the audit rule is loaded when a sensor runs."""
    message = _rules(facts, "rule-gone")
    if message is None or facts.rules is None:
        return None
    if facts.reads_text:
        return Finding(
            "audit-rule", Level.OK, f"the sensor reads {facts.source}, whose writer sets the rules"
        )
    if message:
        remedy = "find who removed it (the sensor has reported when), and restart the sensor"
        return Finding("audit-rule", Level.ERROR, message, remedy)
    present = all(any(rule.same_as(wanted) for rule in facts.rules) for wanted in facts.wanted)
    listed = "; ".join(auditctl.format_rule(rule) for rule in facts.wanted)
    state = "is loaded" if present else "is not loaded; a sensor adds it while it runs"
    return Finding("audit-rule", Level.OK, f"{listed} {state}")


def rule_cost(facts: Facts) -> Finding | None:
    """Whether a sensor adds the first audit rule of this host, which costs every program."""
    if facts.status is None or facts.rules is None:
        return None
    if facts.reads_text:
        return Finding("rule-cost", Level.OK, f"the sensor reads {facts.source} and adds no audit rule")
    others = sum(not any(rule.same_as(wanted) for wanted in facts.wanted) for rule in facts.rules)
    if others and facts.status.enabled != Enabled.OFF:
        return Finding("rule-cost", Level.OK, f"audit rules of other programs are in effect: {others}")
    return Finding(
        "rule-cost",
        Level.NOTE,  # so is every host without audit rules
        "the first audit rule makes the shortest system calls of every program take about twice as long, and "
        "a part of that stays until the next boot, also after audit is off again",
        "nothing; auditsense bench calls measures it here",
    )


def rule_hidden(facts: Facts) -> Finding | None:
    """Whether an earlier rule keeps events from ours."""
    message = _rules(facts, "rule-hidden")
    if not message:
        return None if message is None else Finding("rule-hidden", Level.OK, "no earlier rule hides events")
    return Finding(
        "rule-hidden", Level.ERROR, message, "delete that rule, or load it after ours (auditctl -d, -a)"
    )


def key_stolen(facts: Facts) -> Finding | None:
    """Whether an earlier rule gives its own key to our events."""
    message = _rules(facts, "key-stolen")
    if not message:
        return None if message is None else Finding("key-stolen", Level.OK, "no earlier rule takes its key")
    if not facts.keyed:
        message += "; no detection compares keys, so all events are seen"
        return Finding("key-stolen", Level.NOTE, message, "nothing")
    remedy = "load that rule after ours (auditctl -d, -a), or give it the same key"
    return Finding("key-stolen", Level.WARNING, message, remedy)


def task_never(facts: Facts) -> Finding | None:
    """Whether new processes are hidden."""
    message = _rules(facts, "task-never")
    if not message:
        return None if message is None else Finding("task-never", Level.OK, "no rule hides new processes")
    remedy = (
        "auditctl -d task,never, and remove it from /etc/audit/rules.d; processes started until then stay "
        "hidden until it is restarted"
    )
    return Finding("task-never", Level.ERROR, message, remedy)


def records_excluded(facts: Facts) -> Finding | None:
    """Whether records that every event needs are excluded."""
    message = _rules(facts, "exclude")
    if not message:
        return None if message is None else Finding("records-excluded", Level.OK, "no record is excluded")
    return Finding("records-excluded", Level.ERROR, message, "delete that rule of the exclude list")


def rate_limit(facts: Facts) -> Finding | None:
    """Whether records over a rate are thrown away."""
    if facts.status is None:
        return None
    if not facts.status.rate_limit:
        return Finding("rate-limit", Level.OK, "no limit to the rate of records")
    return Finding(
        "rate-limit",
        Level.WARNING,
        f"rate_limit is {facts.status.rate_limit} records a second: records above it are lost",
        "auditctl -r 0",
    )


def backlog_wait_time(facts: Facts) -> Finding | None:
    """Whether processes may be put to sleep for audit."""
    if facts.status is None or facts.status.backlog_wait_time is None:
        return None
    wait = facts.status.backlog_wait_time
    if not wait or facts.status.enabled == Enabled.OFF:
        value = "0" if not wait else f"{wait} jiffies, and audit is off; a sensor sets it to 0 first"
        return Finding("backlog-wait-time", Level.OK, f"backlog_wait_time is {value}")
    return Finding(
        "backlog-wait-time",
        Level.WARNING,
        f"backlog_wait_time is {wait} jiffies (15000 are a minute at 250 Hz) and audit is on: any process "
        "that makes a record may sleep that long when the kernel's queue is full",
        "auditctl --backlog_wait_time 0",
    )


def backlog_limit(facts: Facts) -> Finding | None:
    """Whether the kernel's queue is long enough."""
    if facts.status is None:
        return None
    limit = facts.status.backlog_limit
    if limit == 0:
        return Finding(
            "backlog-limit",
            Level.WARNING,
            "backlog_limit is 0, which is no limit: while no process reads, the kernel's queue of records "
            "grows until the memory of the host is used up",
            f"auditctl -b {DEFAULT_BACKLOG_LIMIT}, and remove -b 0 from /etc/audit/rules.d",
        )
    if limit >= _SHORT_BACKLOG or facts.status.enabled == Enabled.OFF:
        return Finding("backlog-limit", Level.OK, f"backlog_limit is {limit} records")
    return Finding(
        "backlog-limit",
        Level.WARNING,
        f"backlog_limit is {limit} records and audit is on: a burst soon exceeds it. Records that do "
        "not fit are lost, or processes wait",
        f"auditctl -b {DEFAULT_BACKLOG_LIMIT}",
    )


def records_lost(facts: Facts) -> Finding | None:
    """Whether the kernel has lost records since the boot, or made processes wait."""
    if facts.status is None:
        return None
    lost, waited = facts.status.lost, facts.status.backlog_wait_time_actual or 0
    if not lost and not waited:
        return Finding("records-lost", Level.OK, "the kernel counted no lost record; it does not count all")
    return Finding(
        "records-lost",
        Level.NOTE,
        f"since the boot, or since the counter was reset, the kernel lost {lost} records"
        + (f", and processes slept for {waited} jiffies for audit" if waited else ""),
        f"while a sensor runs, auditsense status --watch shows whether it grows; {documentation('loss.md')}",
    )


def self_test(facts: Facts) -> Finding | None:
    """Whether a deliberate open of /proc is reported: by --self-test, or by the running sensor."""
    remedy = "see the other findings; where there is none, add the rule in the host's mount namespace"
    if facts.probe is not None and not facts.probe.problem:
        if facts.probe.seen:
            key = f"with the key {facts.probe.key}" if facts.probe.key else "without a key"
            return Finding("self-test", Level.OK, f"a deliberate open of /proc was reported {key}")
        return Finding("self-test", Level.ERROR, "a deliberate open of /proc was not reported", remedy)
    test = facts.sensor.get("self_test") if facts.sensor is not None else None
    if not test:
        return None
    counts = f"{test['passed']} of the running sensor's self-tests passed, {test['failed']} failed"
    return Finding(
        "self-test", Level.WARNING if test["failed"] else Level.OK, counts, remedy if test["failed"] else ""
    )
