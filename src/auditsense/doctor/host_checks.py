"""Checks of this process, the host and the sensor. See kernel_checks."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from auditsense import syscalls
from auditsense.doctor.finding import Finding, Level
from auditsense.doctor.pages import documentation
from auditsense.doctor.proc import is_journald
from auditsense.errors import AuditRuleError
from auditsense.kernel.privileges import CAP_AUDIT_CONTROL, CAP_AUDIT_READ, CAP_NET_ADMIN
from auditsense.kernel.procfs import REMEDY
from auditsense.kernel.rules import auditctl
from auditsense.kernel.rules.constants import FieldId
from auditsense.sources.audit_socket import DEFAULT_RECEIVE_BUFFER_BYTES

if TYPE_CHECKING:
    from auditsense.doctor.facts import Facts

_LEAST_PYTHON: Final = (3, 11)
_SHOWN: Final = 3
JOURNALD_COST: Final = (
    "systemd-journald also stores every audit record: ten runs of ps aux add about 18,500 journal entries"
)
JOURNALD_REMEDY: Final = (
    "unless you need them there: systemctl mask --now systemd-journald-audit.socket && "
    "systemctl restart systemd-journald.service"
)


def container(facts: Facts) -> Finding | None:
    """Whether this is a container."""
    inside = sorted(facts.other_namespaces & {"user", "pid"})
    # Hosts made from container images keep the markers, so the kernel decides.
    apart = facts.mounts is not None and facts.mounts.first_namespace is False
    if inside or (facts.container and apart):
        kind = facts.container or f"another {' and '.join(inside)} namespace"
        return Finding(
            "container",
            Level.NOTE,
            f"this is inside {kind}: the kernel's audit is the host's, and answers there only",
            "run the sensor on the host; it sees the containers from there",
        )
    return Finding("container", Level.OK, "this is not a container")


def network_namespace(facts: Facts) -> Finding | None:
    """Whether multicast would reach a listener here."""
    if "net?" in facts.other_namespaces:
        return None
    if "net" not in facts.other_namespaces:
        return Finding("network-namespace", Level.OK, "this is the machine's network namespace")
    return Finding(
        "network-namespace",
        Level.WARNING,
        "this is another network namespace: the kernel's multicast does not reach it",
        "run the sensor in the host's network namespace (no PrivateNetwork=, docker run --network=host)",
    )


def capabilities(facts: Facts) -> Finding | None:
    """Whether this process has what a sensor needs."""
    if facts.effective is None or facts.bounding is None or "user" in facts.other_namespaces:
        return None  # in a user namespace they are worth nothing here
    names = {CAP_AUDIT_CONTROL: "CAP_AUDIT_CONTROL", CAP_AUDIT_READ: "CAP_AUDIT_READ"}
    missing = [name for bit, name in names.items() if not facts.effective >> bit & 1]
    if not missing:
        return Finding("capabilities", Level.OK, "CAP_AUDIT_CONTROL and CAP_AUDIT_READ are held")
    bounded = [name for bit, name in names.items() if not facts.bounding >> bit & 1]
    never = f" ({' and '.join(bounded)} cannot be had here: not in the bounding set)" if bounded else ""
    worst = Level.ERROR if "CAP_AUDIT_CONTROL" in missing else Level.WARNING
    return Finding(
        "capabilities",
        worst,
        f"missing: {' and '.join(missing)}{never}; the first sets audit up, the second listens by multicast",
        "run as root, or give them: AmbientCapabilities= of systemd, --cap-add= of a container",
    )


def receive_buffer(facts: Facts) -> Finding | None:
    """Whether the socket's buffer can be as large as it should be."""
    if facts.effective is None or facts.rmem_max is None or "user" in facts.other_namespaces:
        return None
    wanted = DEFAULT_RECEIVE_BUFFER_BYTES
    if facts.effective >> CAP_NET_ADMIN & 1 or facts.rmem_max >= wanted:
        return Finding("receive-buffer", Level.OK, f"a receive buffer of {wanted >> 20} MiB is available")
    return Finding(
        "receive-buffer",
        Level.WARNING,
        f"without CAP_NET_ADMIN the receive buffer is {facts.rmem_max} bytes instead of {wanted}: a burst "
        "overflows it sooner",
        f"start with CAP_NET_ADMIN (dropped afterwards), or sysctl net.core.rmem_max={wanted}",
    )


def multicast_listeners(facts: Facts) -> Finding | None:
    """Whether other processes receive every record."""
    if facts.listeners is None:
        return None
    others = [name for name in facts.listeners if not is_journald(name)]
    if facts.sensor is not None and facts.sensor.get("source", {}).get("name") == "multicast" and others:
        others.pop()  # one of them is the sensor
    if not others:
        return Finding("multicast-listeners", Level.OK, "no other process listens by multicast")
    return Finding(
        "multicast-listeners",
        Level.NOTE,
        f"{len(others)} other listeners receive every record by multicast: {', '.join(others[:_SHOWN])}",
        "nothing; each costs the kernel a copy of every record",
    )


def journald_audit(facts: Facts) -> Finding | None:
    """Whether the journal collects every record."""
    if facts.listeners is None:
        return None
    if not any(map(is_journald, facts.listeners)):
        return Finding("journald-audit", Level.OK, "systemd-journald does not collect audit records")
    return Finding(
        "journald-audit",
        Level.NOTE,
        JOURNALD_COST,
        JOURNALD_REMEDY,
    )


def proc_mount(facts: Facts) -> Finding | None:
    """Whether a rule that is added here means the host's /proc."""
    if facts.mounts is None:
        return None
    if not facts.mounts.here:
        return Finding(
            "proc-mount",
            Level.ERROR,
            "there is no procfs at /proc: an audit rule added here would watch something else",
            "mount -t proc proc /proc, or run the sensor on the host",
        )
    if facts.mounts.of_host is False:
        return Finding(
            "proc-mount",
            Level.ERROR,
            "/proc here is another procfs than the host's: an audit rule on /proc that is added here would "
            "see nothing of the host, so no sensor starts here",
            REMEDY,
        )
    if facts.mounts.of_host is None and facts.mounts.first_namespace is False:
        return Finding(
            "proc-mount",
            Level.WARNING,
            "this is not the host's first mount namespace, and it is unknown whether /proc is the "
            "host's: a rule on /proc that is added here may be listed and match nothing",
            REMEDY,
        )
    if facts.mounts.of_host is None and facts.mounts.first_namespace is None:
        return None
    return Finding("proc-mount", Level.OK, "/proc is the host's")


def other_procfs(facts: Facts) -> Finding | None:
    """Whether there are other procfs than the one that is watched."""
    if facts.mounts is None:
        return None
    others = facts.mounts.others
    if not others:
        # Without access to other processes, it is unknown.
        return None if facts.mounts.unreadable else Finding("other-procfs", Level.OK, "there is one procfs")
    rules = [*(facts.rules or ()), *facts.wanted]
    if any(field.field is FieldId.INODE and field.value == 1 for rule in rules for field in rule.fields):
        found = f"{len(others)} other procfs, and an audit rule for the roots of all"
        return Finding("other-procfs", Level.OK, found)
    kind = "containers have" if facts.mounts.in_container else "services with ProtectProc= have"
    return Finding(
        "other-procfs",
        Level.WARNING if facts.mounts.in_container else Level.NOTE,
        f"{len(others)} other procfs, as {kind}: opens there are not reported by a rule on /proc; "
        f"seen at process {', '.join(others[:_SHOWN])}",
        f"add {' and '.join(_rules_of_every_procfs(facts.machine))}; "
        f"see {documentation('troubleshooting.md')}",
    )


def _rules_of_every_procfs(machine: str) -> list[str]:
    """Return the audit rules that see an open of every procfs on a machine, as auditctl takes them."""
    arch = syscalls.canonical_arch(machine)
    rules: list[str] = []
    for word in ("b64", "b32"):  # a 64-bit machine may run 32-bit programs as well
        rule = f"-a always,exit -F arch={word} -S openat -F inode=1 -F perm=r -k audit_proc"
        with suppress(AuditRuleError):  # this machine has no such programs
            auditctl.parse(rule, machine=arch)
            rules.append(rule)
    return rules or ["-a always,exit -F inode=1 -F perm=r -k audit_proc"]


def clock(facts: Facts) -> Finding | None:
    """Whether stamps can be believed."""
    if facts.clock is None:
        return None
    if facts.clock:
        return Finding("clock", Level.OK, "the clock is synchronised")
    return Finding(
        "clock",
        Level.NOTE,
        "the clock is not synchronised: records are stamped by it, and a step makes windows too long or too "
        "short",
        "run a time service (chrony, systemd-timesyncd), one that slews rather than steps",
    )


def stale_journal(facts: Facts) -> Finding | None:
    """Whether changes of a killed sensor are still there."""
    if facts.journals is None:
        return None
    if isinstance(facts.journals, str):
        return Finding(
            "stale-journal", Level.ERROR, facts.journals, "the sensor does not start before that is done"
        )
    dead = [journal for journal in facts.journals if not journal.is_running]
    if not dead:
        return Finding("stale-journal", Level.OK, "no killed sensor left changes behind")
    changes = "; ".join(f"process {stale.owner}: {', '.join(map(str, stale.steps))}" for stale in dead)
    return Finding(
        "stale-journal",
        Level.WARNING,
        f"a sensor and its guardian were killed, and these changes remain: {changes}",
        "start a sensor: it undoes that first",
    )


def configuration(facts: Facts) -> Finding | None:
    """Whether a sensor could start by the configuration."""
    if facts.misconfigured is None:
        return None
    if not facts.misconfigured:
        files = ", ".join(facts.configured)
        read = f"nothing is wrong with {files}" if files else "no configuration file: the defaults"
        return Finding("configuration", Level.OK, read)
    first, *more = facts.misconfigured
    return Finding(
        "configuration",
        Level.ERROR,
        f"{first}; and {len(more)} more" if more else first,
        "auditsense config check lists everything; a running sensor keeps the configuration it has read, but "
        "cannot start again",
    )


def sensor(facts: Facts) -> Finding | None:
    """Whether a sensor runs and answers."""
    if facts.sensor_problem:
        return None
    if facts.sensor is not None:
        source = facts.sensor.get("source", {}).get("name", "?")
        files = ", ".join(facts.sensor.get("config_files", ())) or "none"
        found = f"a sensor runs: process {facts.sensor.get('pid')}, source {source}, configuration: {files}"
        kept = facts.sensor.get("privileges", {})
        if kept.get("user_id") == 0:
            return Finding(
                "sensor",
                Level.NOTE,
                f"{found}; it runs as root: a defect of it would give an attacker what root owns",
                "leave out --user root and [process] user",
            )
        if kept.get("missing"):
            return Finding(
                "sensor",
                Level.NOTE,
                f"{found}; its processes are limited less than they could be, without {kept['missing']}",
                "use a kernel with both, and let the unit or the container allow them",
            )
        return Finding("sensor", Level.OK, found)
    if facts.stale_socket:
        return Finding(
            "sensor",
            Level.NOTE,
            "a status socket exists, but no sensor answers: the sensor and its guardian were killed",
            "nothing: the next sensor replaces it",
        )
    return Finding("sensor", Level.OK, "no sensor answers at the status socket")


def build(facts: Facts) -> Finding | None:
    """Whether Python and the core fit."""
    if facts.python < _LEAST_PYTHON:
        version = f"Python {facts.python[0]}.{facts.python[1]}"
        return Finding("build", Level.ERROR, f"{version} is too old", "use Python 3.11 or later")
    if facts.package and facts.package != facts.core:
        return Finding(
            "build",
            Level.WARNING,
            f"the package is {facts.package} and its compiled core is {facts.core}",
            "install again: an old build remains",
        )
    version = f"{facts.python[0]}.{facts.python[1]}"
    return Finding("build", Level.OK, f"auditsense {facts.core} on Python {version}")
