"""Findings of doctor on prepared hosts with one problem each. On real ones: live/test_doctor.py.

A prepared host is a kernel in memory and a root of the file system made for the test. The healthy one is
booted with audit=1, as root, in no container; no process owns the audit socket, and every check passes.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import sys
import threading
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest

from auditsense import syscalls
from auditsense.cli import doctor as command
from auditsense.cli import main
from auditsense.cli.style import painter
from auditsense.detections.loader import shipped_detections
from auditsense.doctor import active_probe, proc
from auditsense.doctor import collect as looking
from auditsense.doctor.collect import HostAccess, collect
from auditsense.doctor.facts import ProbeResult
from auditsense.doctor.finding import Diagnosis, Finding, Level
from auditsense.doctor.run import CHECKS, diagnose, id_of
from auditsense.kernel.audit_status import StatusField
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import BecomeOwner, ChangeSetting
from auditsense.kernel.rules import auditctl
from auditsense.kernel.undo_journal import Entry, encode
from auditsense.sources.factory import rules_needed
from auditsense.sources.unicast import DEFAULT_AUDIT_RULE
from auditsense.testing import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense.doctor.facts import Facts

OK, NOTE, WARNING, ERROR = Level.OK, Level.NOTE, Level.WARNING, Level.ERROR
ALL = 0x1FF_FFFF_FFFF
CONTROL, READ, NET_ADMIN = 1 << 30, 1 << 37, 1 << 12
NETLINK = "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n"
PROCFS = "22 1 0:21 / /proc rw - proc proc rw\n"
BOOTED_S = 1_700_000_000
WIDE = 0x8000_0000  # of an AUDIT_ARCH value: 64 bits
WORD = "b64" if syscalls.ARCHES[syscalls.native_arch()] & WIDE else "b32"
EVERY_RULE = f"-a always,exit -F arch={WORD} -S openat -k other"
WANTED = rules_needed(shipped_detections())
"""What a sensor adds."""
NEVER_A_ROOT = "-a never,exit -S all -F inode=1"


class Prepared:
    """A host made for one test; healthy until something is changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kernel = FakeKernel(backlog_wait_time=15000)
        self.clock: bool | None = True
        self.sensor: dict[str, Any] | None = None
        self.config: str | None = None
        self.write("proc/cmdline", "BOOT_IMAGE=/vmlinuz quiet audit=1\n")
        self.write("proc/stat", f"cpu 1 2\nbtime {BOOTED_S}\n")
        self.write("proc/net/netlink", NETLINK + "0000 9 0 00000000 0 0 0 2 0 6\n")
        self.write("proc/sys/net/core/rmem_max", "212992\n")
        self.write("proc/sys/kernel/osrelease", "6.1.0-30-amd64\n")
        self.capabilities(ALL)
        self.process("self", "doctor")
        self.process(1, "systemd", started_s=0)
        self.process(500, "sshd", started_s=100)
        self.process(600, "kworker/0:1", started_s=0, flags=0x0020_0000)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def link(self, path: str, to: str) -> None:
        link = self.root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(to)

    def capabilities(self, effective: int, bounding: int = ALL) -> None:
        self.write(
            "proc/self/status", f"Name:\tdoctor\nCapEff:\t{effective:016x}\nCapBnd:\t{bounding:016x}\n"
        )

    def process(
        self,
        pid: int | str,
        name: str,
        *,
        started_s: int = 0,
        flags: int = 0,
        mounts: str = PROCFS,
        mnt: int = 1,
    ) -> None:
        ticks = started_s * os.sysconf("SC_CLK_TCK")
        fields = f"S 1 1 1 0 -1 {flags} 0 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0"
        self.write(f"proc/{pid}/stat", f"{pid} ({name}) {fields}\n")
        self.write(f"proc/{pid}/comm", name + "\n")
        self.write(f"proc/{pid}/mountinfo", mounts)
        for kind, number in (("user", 4026531837), ("pid", 4026531836), ("net", 4026531840)):
            self.link(f"proc/{pid}/ns/{kind}", f"{kind}:[{number}]")
        self.link(f"proc/{pid}/ns/mnt", f"mnt:[{mnt}]")

    def listener(self, pid: int, name: str, inode: int) -> None:
        self.process(pid, name, started_s=5)
        self.link(f"proc/{pid}/fd/3", f"socket:[{inode}]")
        table = (self.root / "proc/net/netlink").read_text()
        self.write("proc/net/netlink", f"{table}0000 9 {pid} 00000001 0 0 0 2 0 {inode}\n")

    def owner(self, pid: int, name: str) -> None:
        self.process(pid, name, started_s=5)
        self.kernel.pid = pid
        self.kernel.alive.add(pid)
        self.kernel.enabled = 1
        self.kernel.backlog_wait_time = 0
        self.kernel.backlog_limit = 8192

    def rules(self, *lines: str) -> None:
        self.kernel.rules = [*FakeKernel(rules=[auditctl.parse(line).to_bytes() for line in lines]).rules]

    def running(self, **more: object) -> None:
        """Add a healthy running sensor."""
        self.owner(700, "auditsense")
        self.rules(*WANTED)
        test = {"passed": 3, "failed": 0}
        self.sensor = {
            "version": 1,
            "pid": 700,
            "audit_rules": WANTED,
            "self_test": test,
            **more,
        }

    def left(self, owner: int = 999_999_999) -> Path:
        steps = (ChangeSetting(StatusField.ENABLED, 0, 1), BecomeOwner())
        path = f"run/auditsense/takeover.{owner}.json"
        self.write(path, "12345\n" + encode(Entry(owner, steps)).decode())
        (self.root / path).chmod(0o600)
        (self.root / path).parent.chmod(0o700)
        return self.root / path

    def facts(self) -> Facts:
        socket_path = self.root / "run/auditsense/control"
        with ExitStack() as stack:
            if self.sensor is not None:
                stack.enter_context(StatusAnswer(socket_path, json.dumps(self.sensor).encode()))
            return collect(
                HostAccess(
                    self.root,
                    lambda: Commands(self.kernel),
                    socket_path,
                    lambda: self.clock,
                    self.config,
                )
            )

    def report(self) -> Diagnosis:
        return diagnose(self.facts())


class StatusAnswer:
    """A status socket that answers once."""

    def __init__(self, path: Path, answer: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX)
        self._answer = answer

    def __enter__(self) -> None:
        self._socket.bind(bytes(self._path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._once)
        self._thread.start()

    def _once(self) -> None:
        client, _ = self._socket.accept()
        with client:
            client.sendall(self._answer)

    def __exit__(self, *_: object) -> None:
        self._thread.join()
        self._socket.close()
        self._path.unlink()


@pytest.fixture
def host(tmp_path: Path) -> Prepared:
    return Prepared(tmp_path)


def other_than_ok(report: Diagnosis) -> dict[str, Level]:
    """Return the findings but for the note that every host without audit rules has; see `rule_cost`."""
    found = {one.id: one.level for one in report.findings if one.level is not OK}
    return {name: level for name, level in found.items() if (name, level) != ("rule-cost", NOTE)}


def rule_cost(host: Prepared) -> Finding:
    return next(one for one in host.report().findings if one.id == "rule-cost")


# --- situations --------------------------------------------------------------------------


def booted_without(host: Prepared) -> None:
    host.write("proc/cmdline", "quiet\n")


def booted_with_audit_off(host: Prepared) -> None:
    host.write("proc/cmdline", "audit=1 quiet audit=0\n")
    host.kernel.fail_at(0, errno.EPROTONOSUPPORT)


def no_audit_in_the_kernel(host: Prepared) -> None:
    host.kernel.fail_at(0, errno.EPROTONOSUPPORT)


def in_a_user_namespace(host: Prepared) -> None:
    host.kernel.fail_at(0, errno.ECONNREFUSED)


def a_kernel_that_does_not_answer(host: Prepared) -> None:
    host.kernel.stay_silent_at(0)


def docker(host: Prepared) -> None:
    host.write(".dockerenv", "")
    host.link("proc/self/ns/pid", "pid:[4026532999]")


def another_network(host: Prepared) -> None:
    host.link("proc/self/ns/net", "net:[4026532999]")


def without_reading(host: Prepared) -> None:
    host.capabilities(ALL & ~READ)


def without_control(host: Prepared) -> None:
    host.capabilities(ALL & ~CONTROL, ALL & ~CONTROL)


def without_net_admin(host: Prepared) -> None:
    host.capabilities(ALL & ~NET_ADMIN)


def switched_off(host: Prepared) -> None:
    host.running()
    host.kernel.enabled = 0


def auditd_with_audit_off(host: Prepared) -> None:
    host.owner(300, "auditd")
    host.kernel.enabled = 0


def locked(host: Prepared) -> None:
    host.running()
    host.kernel.enabled = 2


def would_panic(host: Prepared) -> None:
    host.kernel.failure = 2


def auditd(host: Prepared) -> None:
    host.owner(300, "auditd")


def socket_without_owner(host: Prepared) -> None:
    host.owner(300, "auditd")
    host.kernel.pid = 0


def a_dead_owner(host: Prepared) -> None:
    host.owner(300, "auditd")
    host.kernel.pid = 301


def journald(host: Prepared) -> None:
    host.listener(200, "systemd-journal", 77)


def a_listener(host: Prepared) -> None:
    host.listener(201, "laurel", 78)


def a_rule_removed(host: Prepared) -> None:
    host.running()
    host.rules()


def a_rule_stolen(host: Prepared) -> None:
    host.running(audit_rules=[DEFAULT_AUDIT_RULE])
    host.rules(EVERY_RULE, DEFAULT_AUDIT_RULE)


def a_key_that_counts_stolen(host: Prepared) -> None:
    own = f"""
id = "own"
name = "Own"
version = 1
severity = "low"
risk_score = 1
audit_rule = "{DEFAULT_AUDIT_RULE}"
match = {{ "auditd.data.key" = "audit_proc" }}
window = {{ matches = 1, within = "1s" }}
"""
    host.write("etc/auditsense/detections.d/own.toml", own)
    a_rule_stolen(host)


def a_detection_without_its_costly_rules(host: Prepared) -> None:
    host.write("etc/auditsense/detections.d/own.toml", own_detection('"process.name" = "x"'))


def a_detection_without_its_records(host: Prepared) -> None:
    host.write(
        "etc/auditsense/detections.d/own.toml",
        own_detection('"process.name" = "x", "process.title" = { like = "x*" }', call="execve"),
    )
    host.rules("-a always,exclude -F msgtype=PROCTITLE")


def own_detection(conditions: str, call: str = "openat") -> str:
    return f"""
id = "own"
name = "Own"
version = 1
severity = "low"
risk_score = 1
match = {{ "auditd.data.syscall" = "{call}", {conditions} }}
window = {{ matches = 1, within = "1s" }}
"""


def a_text_source_with_audit_off(host: Prepared) -> None:
    host.running(audit_rules=[], source={"name": "log:/var/log/audit/audit.log"})
    host.kernel.enabled = 0
    host.kernel.pid = 0


def a_text_source_configured(host: Prepared) -> None:
    host.write("etc/auditsense/auditsense.toml", '[source]\nname = "unix:/run/audispd_events"\n')


def a_rule_hidden(host: Prepared) -> None:
    host.running()
    host.rules(NEVER_A_ROOT, *WANTED)


def a_rule_that_would_be_hidden(host: Prepared) -> None:
    host.rules(NEVER_A_ROOT)


def never_a_task(host: Prepared) -> None:
    host.rules("-a never,task")


def no_paths(host: Prepared) -> None:
    host.rules("-a always,exclude -F msgtype=PATH")


def a_self_test_failed(host: Prepared) -> None:
    host.running(self_test={"passed": 3, "failed": 1})


def another_mount_namespace(host: Prepared) -> None:
    host.process("self", "doctor", mnt=2)


def another_mount_namespace_in_the_dark(host: Prepared) -> None:
    host.process("self", "doctor", mnt=2)
    (host.root / "proc/1/mountinfo").unlink()


def a_separate_procfs(host: Prepared) -> None:
    host.process("self", "doctor", mounts="40 1 0:55 / /proc rw - proc proc rw\n", mnt=2)


def a_procfs_over_the_hosts(host: Prepared) -> None:
    host.process("self", "doctor", mounts="63 22 0:55 / /proc rw - proc proc rw\n" + PROCFS, mnt=2)


def no_procfs(host: Prepared) -> None:
    host.process("self", "doctor", mounts="22 1 0:30 / /proc rw - tmpfs tmpfs rw\n")
    for pid, name in ((1, "systemd"), (500, "sshd"), (600, "kworker/0:1")):
        host.process(pid, name, mounts="", flags=0x0020_0000)


def a_container(host: Prepared) -> None:
    host.process(900, "nginx", started_s=9, mounts="40 1 0:55 / /proc rw - proc proc rw\n", mnt=9)
    host.link("proc/900/ns/pid", "pid:[4026532555]")


def a_container_unseen_by_elastics_rule(host: Prepared) -> None:
    a_container(host)
    host.write("etc/auditsense/auditsense.toml", '[detections]\nonly = ["pspy"]\n')


def a_hardened_service(host: Prepared) -> None:
    host.process(900, "resolved", started_s=9, mounts="40 1 0:55 / /proc rw - proc proc rw\n", mnt=9)


def a_container_with_a_rule_for_it(host: Prepared) -> None:
    a_container(host)
    host.rules("-a always,exit -F arch=b64 -S openat -F inode=1 -F perm=r -k audit_proc")


def an_ordinary_host(host: Prepared) -> None:
    booted_without(host)
    a_hardened_service(host)
    no_time_service(host)


def limited(host: Prepared) -> None:
    host.kernel.rate_limit = 100


def processes_wait(host: Prepared) -> None:
    host.owner(700, "auditsense")
    host.running()
    host.kernel.backlog_wait_time = 15000


def a_short_queue(host: Prepared) -> None:
    host.running()
    host.kernel.backlog_limit = 64


def lost(host: Prepared) -> None:
    host.kernel.lost = 12


def no_time_service(host: Prepared) -> None:
    host.clock = False


def killed(host: Prepared) -> None:
    host.left()


def killed_and_spoiled(host: Prepared) -> None:
    host.left().write_text("nonsense")


def a_stale_socket(host: Prepared) -> None:
    folder = host.root / "run/auditsense"
    folder.mkdir(parents=True, mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(bytes(folder / "control"))


def nothing(_: Prepared) -> None:
    pass


def a_sensor(host: Prepared) -> None:
    host.running()


def misconfigured(host: Prepared) -> None:
    host.write("etc/auditsense/auditsense.toml", "[alerts]\nmax_alert = 3\n")
    host.write("etc/auditsense/conf.d/a.toml", "[sauce]\n")


SITUATIONS: list[tuple[Callable[[Prepared], object], dict[str, Level], int]] = [
    # what was changed on the healthy host, what is found beyond it, the exit code
    (nothing, {}, 0),
    (a_sensor, {}, 0),
    (booted_without, {"unaudited-processes": NOTE}, 0),
    (booted_with_audit_off, {"boot-parameter": ERROR}, 1),
    (no_audit_in_the_kernel, {"kernel-audit": ERROR}, 1),
    (in_a_user_namespace, {"kernel-audit": ERROR}, 1),
    (a_kernel_that_does_not_answer, {"kernel-audit": ERROR}, 1),
    (docker, {"container": NOTE}, 0),
    (another_network, {"network-namespace": WARNING}, 1),
    (without_reading, {"capabilities": WARNING}, 1),
    (without_control, {"capabilities": ERROR}, 1),
    (without_net_admin, {"receive-buffer": WARNING}, 1),
    (switched_off, {"audit-enabled": ERROR}, 1),
    (auditd_with_audit_off, {"audit-enabled": WARNING, "socket-owner": NOTE}, 1),
    (locked, {"audit-locked": WARNING}, 1),
    (would_panic, {"failure-mode": WARNING, "detections": WARNING}, 1),
    (auditd, {"socket-owner": NOTE}, 0),
    (socket_without_owner, {"socket-owner": WARNING}, 1),
    (a_dead_owner, {"socket-owner": NOTE}, 0),
    (journald, {"journald-audit": NOTE}, 0),
    (a_listener, {"multicast-listeners": NOTE}, 0),
    (a_rule_removed, {"audit-rule": ERROR, "detections": WARNING}, 1),
    (a_rule_stolen, {"key-stolen": NOTE}, 0),
    (a_key_that_counts_stolen, {"key-stolen": WARNING}, 1),
    (a_text_source_with_audit_off, {"audit-enabled": NOTE}, 0),
    (a_text_source_configured, {"audit-enabled": NOTE}, 0),
    (a_rule_hidden, {"rule-hidden": ERROR, "detections": WARNING}, 1),
    (a_rule_that_would_be_hidden, {"rule-hidden": ERROR, "detections": WARNING}, 1),
    (never_a_task, {"task-never": ERROR}, 1),
    (no_paths, {"records-excluded": ERROR, "detections": WARNING}, 1),
    (a_detection_without_its_costly_rules, {"detections": NOTE}, 0),
    (a_detection_without_its_records, {"detections": WARNING}, 1),
    (a_self_test_failed, {"self-test": WARNING}, 1),
    (another_mount_namespace, {}, 0),
    (another_mount_namespace_in_the_dark, {"proc-mount": WARNING}, 1),
    (a_separate_procfs, {"proc-mount": ERROR}, 1),
    (a_procfs_over_the_hosts, {"proc-mount": ERROR}, 1),
    (no_procfs, {"proc-mount": ERROR}, 1),
    (a_container, {}, 0),
    (a_container_unseen_by_elastics_rule, {"other-procfs": WARNING}, 1),
    (a_hardened_service, {}, 0),
    (a_container_with_a_rule_for_it, {}, 0),
    (an_ordinary_host, {"unaudited-processes": NOTE, "clock": NOTE}, 0),
    (limited, {"rate-limit": WARNING}, 1),
    (processes_wait, {"backlog-wait-time": WARNING}, 1),
    (a_short_queue, {"backlog-limit": WARNING}, 1),
    (lost, {"records-lost": NOTE}, 0),
    (no_time_service, {"clock": NOTE}, 0),
    (killed, {"stale-journal": WARNING}, 1),
    (killed_and_spoiled, {"stale-journal": ERROR}, 1),
    (misconfigured, {"configuration": ERROR}, 1),
    (a_stale_socket, {"sensor": NOTE}, 0),
]


@pytest.mark.parametrize(
    ("change", "found", "code"), SITUATIONS, ids=[one[0].__name__.replace("_", " ") for one in SITUATIONS]
)
def test_each_problem_is_found_and_nothing_else(
    host: Prepared, change: Callable[[Prepared], object], found: dict[str, Level], code: int
) -> None:
    change(host)
    report = host.report()
    assert other_than_ok(report) == found
    assert report.exit_code == code
    for one in report.findings:
        assert bool(one.remedy) == (one.level is not OK), one


def configuration(facts: Facts) -> Finding:
    return next(one for one in diagnose(facts).findings if one.id == "configuration")


def test_wrong_configuration_is_reported_with_its_line(host: Prepared) -> None:
    assert configuration(host.facts()).found == "no configuration file: the defaults"
    misconfigured(host)
    file = host.root / "etc/auditsense/auditsense.toml"
    problem = f"{file}:2: alerts.max_alert: there is no such key; did you mean max_alerts?; and 1 more"
    assert configuration(host.facts()).found == problem
    host.write("right.toml", "[alerts]\nmax_alerts = 3\n")
    host.config = str(host.root / "right.toml")
    assert configuration(host.facts()).found == f"nothing is wrong with {host.config}"


def test_configuration_of_the_running_sensor_is_checked(host: Prepared) -> None:
    used = host.root / "opt/own.toml"
    host.write("opt/own.toml", "[alerts]\nmax_alert = 3\n")
    host.running(config_files=[str(used)], source={"name": "netlink"})
    assert configuration(host.facts()).found.startswith(f"{used}:2: alerts.max_alert: there is no such key")
    (sensor,) = (one for one in host.report().findings if one.id == "sensor")
    assert sensor.found == f"a sensor runs: process 700, source netlink, configuration: {used}"
    host.config = str(host.root / "else.toml")
    host.write("else.toml", "")
    assert configuration(host.facts()).level is OK  # the one that was named


def test_new_file_next_to_that_of_the_sensor_is_checked(host: Prepared) -> None:
    used = host.root / "etc/auditsense/auditsense.toml"
    host.write("etc/auditsense/auditsense.toml", "")
    host.running(config_files=[str(used)])
    host.write("etc/auditsense/conf.d/a.toml", "[sauce]\n")
    assert configuration(host.facts()).level is ERROR


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_unreadable_configuration_is_not_judged() -> None:
    with TemporaryDirectory(dir="/tmp") as folder:  # those of pytest are root's alone
        Path(folder).chmod(0o755)
        host = Prepared(Path(folder))
        misconfigured(host)
        host.root.joinpath("etc/auditsense").chmod(0o700)
        os.seteuid(65534)
        try:
            report = host.report()
        finally:
            os.seteuid(0)
    assert "configuration" in report.unseen


def test_collecting_changes_nothing(host: Prepared) -> None:
    a_rule_removed(host)
    before = host.kernel.host_state()
    host.facts()
    files = sorted(host.root.rglob("*"))
    host.report()
    assert host.kernel.host_state() == before
    assert {*host.kernel.log} == {"get", "list"}
    assert sorted(host.root.rglob("*")) == files


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (a_detection_without_its_costly_rules, "own (needs costly rules for openat)"),
        (a_detection_without_its_records, "own (PROCTITLE records are excluded)"),
        (a_rule_hidden, f"proc-scan (the audit rule {NEVER_A_ROOT} hides its events)"),
        (a_rule_removed, "pspy (the kernel has no audit rule for it)"),
    ],
)
def test_detections_that_cannot_fire_are_named(
    host: Prepared, change: Callable[[Prepared], None], message: str
) -> None:
    change(host)
    (finding,) = (one for one in host.report().findings if one.id == "detections")
    assert message in finding.found


def test_wider_rule_of_another_program_is_enough_on_a_locked_kernel(host: Prepared) -> None:
    host.write("etc/auditsense/detections.d/own.toml", own_detection('"process.name" = "x"', call="execve"))
    host.rules(*WANTED, f"-a always,exit -F arch={WORD} -S execve,execveat -k theirs")
    host.kernel.enabled = 2
    (finding,) = (one for one in host.report().findings if one.id == "detections")
    assert finding.level is OK


def test_every_check_fails_in_some_case() -> None:
    met = {name for _, found, _ in SITUATIONS for name in found}
    assert {id_of(check) for check in CHECKS} - met == {"build", "rule-cost"}  # below
    assert len({id_of(check) for check in CHECKS}) == len(CHECKS)


def the_first_rules(host: Prepared) -> None:
    host.running()


def rules_of_others(host: Prepared) -> None:
    host.running()
    host.rules(*WANTED, "-w /etc/shadow -p wa -k theirs")


def rules_of_others_with_audit_off(host: Prepared) -> None:
    host.rules("-w /etc/shadow -p wa -k theirs")


@pytest.mark.parametrize(
    ("change", "level", "found"),
    [
        (nothing, NOTE, "twice as long"),
        (the_first_rules, NOTE, "until the next boot"),
        (rules_of_others, OK, "audit rules of other programs are in effect: 1"),
        (rules_of_others_with_audit_off, NOTE, "twice as long"),
    ],
)
def test_first_audit_rule_of_a_host_is_a_note(
    host: Prepared, change: Callable[[Prepared], object], level: Level, found: str
) -> None:
    change(host)
    finding = rule_cost(host)
    assert finding.level is level
    assert found in finding.found


def test_text_source_adds_no_rule(host: Prepared) -> None:
    a_text_source_configured(host)
    assert rule_cost(host).level is OK


@pytest.mark.parametrize(
    ("versions", "level"),
    [
        ({"python": (3, 10)}, ERROR),
        ({"package": "0.0.1"}, WARNING),
        ({"package": ""}, OK),
    ],
)
def test_mismatched_build_is_found(host: Prepared, versions: dict[str, Any], level: Level) -> None:
    report = diagnose(replace(host.facts(), **versions))
    assert next(one for one in report.findings if one.id == "build").level is level


def test_missing_facts_are_named_and_not_judged(host: Prepared) -> None:
    no_audit_in_the_kernel(host)
    report = host.report()
    assert {"audit-enabled", "audit-rule", "backlog-limit", "self-test"} <= {*report.unseen}
    assert not {one.id for one in report.findings} & {*report.unseen}


def test_unreadable_host_has_no_findings(tmp_path: Path) -> None:
    kernel = FakeKernel()
    kernel.fail_at(0, errno.EPERM)
    report = diagnose(collect(HostAccess(tmp_path / "missing", lambda: Commands(kernel), None, lambda: None)))
    assert other_than_ok(report) == {"kernel-audit": ERROR}
    assert {"boot-parameter", "capabilities", "proc-mount", "other-procfs", "clock"} <= {*report.unseen}


def test_broken_proc_files_are_survived(host: Prepared) -> None:
    for path in ("cmdline", "stat", "net/netlink", "sys/net/core/rmem_max", "self/status", "self/mountinfo"):
        host.write(f"proc/{path}", "\ufffd nonsense 9 x\n9 9\n - proc\n")
    host.write("proc/500/stat", "500")
    report = host.report()
    assert {"receive-buffer", "capabilities"} <= {*report.unseen}


@pytest.mark.parametrize(
    ("mine", "theirs", "release", "known"),
    [
        (4026531840, 4026531840, "6.1.0", True),
        (4026532999, 4026531840, "6.1.0", False),
        (4026531833, None, "6.18.2", True),  # process 1 hides its own
        (4026532999, None, "6.18.2", False),
        (4026532999, None, "7.0-rc1", False),
        (4026531840, None, "6.1.0", None),
        (4026531840, None, "nonsense", None),
        (None, 4026531840, "6.1.0", None),
    ],
)
def test_first_network_namespace_is_recognised(
    host: Prepared, mine: int | None, theirs: int | None, release: str, *, known: bool | None
) -> None:
    host.write("proc/sys/kernel/osrelease", release)
    for pid, number in (("self", mine), (1, theirs)):
        if number is None:
            (host.root / f"proc/{pid}/ns/net").unlink()
        else:
            host.link(f"proc/{pid}/ns/net", f"net:[{number}]")
    report = host.report()
    assert ("network-namespace" in report.unseen) == (known is None)
    assert ("network-namespace" in other_than_ok(report)) == (known is False)


# --- how many are not seen -----------------------------------------------------------------


def blind(host: Prepared) -> str:
    return next(one.found for one in host.report().findings if one.id == "unaudited-processes")


def test_unaudited_processes_are_bounded(host: Prepared) -> None:
    booted_without(host)
    assert "up to 2 running processes are never reported" in blind(host)  # kernel threads are none


def test_running_sensor_tightens_the_bound(host: Prepared) -> None:
    booted_without(host)
    host.running(started=BOOTED_S + 50.0)  # sshd started at 100, the sensor's process at 5
    assert "up to 2 of 3 running processes are never reported" in blind(host)


@pytest.mark.parametrize("given", ["audit=on", "audit=1", "audit=0 audit=1"])
def test_last_audit_parameter_counts(host: Prepared, given: str) -> None:
    host.write("proc/cmdline", given)
    assert blind(host) == "audit was on from the boot: none is older"


# --- the test on purpose ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (nothing, "audit is off, and is not switched on for a test"),
        (auditd, "the audit rule is not loaded, and a test adds none"),
        (no_audit_in_the_kernel, "this kernel has no audit"),
    ],
)
def test_self_test_changes_nothing(
    host: Prepared, change: Callable[[Prepared], object], problem: str
) -> None:
    change(host)
    facts = host.facts()
    log = [*host.kernel.log]
    probe = active_probe.run_probe(facts)
    assert problem in probe.problem
    assert host.kernel.log == log
    assert "self-test" in diagnose(replace(facts, probe=probe)).unseen


@pytest.mark.parametrize(
    ("probe", "level", "found"),
    [
        (ProbeResult(seen=True, key="audit_proc"), OK, "was reported with the key audit_proc"),
        (ProbeResult(seen=True), OK, "was reported without a key"),
        (ProbeResult(), ERROR, "was not reported"),
    ],
)
def test_self_test_result_is_reported(host: Prepared, probe: ProbeResult, level: Level, found: str) -> None:
    report = diagnose(replace(host.facts(), probe=probe))
    (one,) = (one for one in report.findings if one.id == "self-test")
    assert one.level is level
    assert found in one.found


# --- the command -----------------------------------------------------------------------------


@pytest.fixture
def here(host: Prepared, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    """Make the command diagnose the prepared host."""
    monkeypatch.setattr(command, "collect", lambda _: host.facts())
    return host


def test_json_output(here: Prepared, capfd: pytest.CaptureFixture[str]) -> None:
    a_short_queue(here)
    assert main(["doctor", "--json"]) == 1
    (line,) = capfd.readouterr().out.splitlines()
    document = json.loads(line)
    assert (document["version"], document["exit_code"], document["worst"]) == (1, 1, "warning")
    worst = [finding for finding in document["findings"] if finding["level"] == "warning"]
    assert [(finding["id"], finding["remedy"]) for finding in worst] == [
        ("backlog-limit", "auditctl -b 32768")
    ]
    assert document["unseen"] == []


def test_text_output_lists_worst_first(here: Prepared, capfd: pytest.CaptureFixture[str]) -> None:
    auditd(here)
    limited(here)
    assert main(["doctor"]) == 1
    assert capfd.readouterr().out.splitlines() == [
        "auditsense can run on this host: 1 warning, 2 notes",
        "",
        "warning: rate-limit",
        "  rate_limit is 100 records a second: records above it are lost",
        "  -> auditctl -r 0",
        "",
        "note: socket-owner",
        "  process 300 (auditd) owns the audit socket; a sensor listens alongside it by multicast",
        "  -> nothing; or stop it, for a sensor that owns the socket, costs less and is not reported itself",
        "",
        "note: rule-cost",
        "  the first audit rule makes the shortest system calls of every program take about twice as long,",
        "  and a part of that stays until the next boot, also after audit is off again",
        "  -> nothing; auditsense bench calls measures it here",
        "",
        "28 checks ok; --all lists them",
        "not checked: self-test",
    ]


@pytest.mark.usefixtures("here")
def test_all_lists_checks_that_are_ok(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--all"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "auditsense can run on this host: no problem found, 1 note"
    assert [line.split()[1] for line in lines if line.startswith("ok ")] == [
        id_of(check) for check in CHECKS if id_of(check) not in {"self-test", "rule-cost"}
    ]


def test_verdict_on_running_sensor(here: Prepared, capfd: pytest.CaptureFixture[str]) -> None:
    a_sensor(here)
    assert main(["doctor"]) == 0
    assert capfd.readouterr().out.startswith(
        "auditsense runs on this host (process 700): no problem found, 1 note\n"
    )
    here.kernel.enabled = 0
    assert main(["doctor"]) == 1
    assert capfd.readouterr().out.startswith(
        "auditsense runs on this host (process 700) and may see nothing: 1 error\n"
    )


def test_verdict_of_other_user_and_of_host_without_audit(host: Prepared) -> None:
    host.kernel.fail_at(0, errno.EPERM)
    without_control(host)
    assert command.verdict(host.report()).startswith("auditsense cannot run as this user; doctor checks more")
    host.capabilities(ALL)
    assert command.verdict(host.report()).startswith("auditsense cannot run on this host, or sees nothing: ")


def shown(report: Diagnosis, *, width: int = 100, all_too: bool = False) -> list[str]:
    return command.lines(report, painter(None, "never"), width=width, all_too=all_too)


@pytest.mark.parametrize("columns", [40, 72, 100])
def test_text_fits_the_width(host: Prepared, columns: int) -> None:
    for change in (auditd, locked, limited, a_container, lost, no_time_service):
        change(host)
    lines = shown(host.report(), width=columns, all_too=True)
    words = max(len(word) for line in lines for word in line.split())
    assert all(len(line) <= max(columns, 32 + words) for line in lines)
    assert any(len(line) > columns - 20 for line in lines)


def test_text_is_colored_by_level(host: Prepared) -> None:
    limited(host)
    lines = command.lines(host.report(), painter(None, "always"))
    assert "\x1b[33mwarning\x1b[0m: \x1b[1mrate-limit\x1b[0m" in lines


def test_healthy_host_is_reported_as_such(here: Prepared, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("auditsense can run on this host: no problem found, 1 note\n")
    assert err == ""
    assert here.kernel.closed


def test_owner_name_is_escaped_for_the_terminal(here: Prepared, capfd: pytest.CaptureFixture[str]) -> None:
    here.owner(300, "a\x1b[2Jb")
    assert main(["doctor"]) == 0
    assert "\x1b" not in capfd.readouterr().out


@pytest.mark.parametrize("wrong", [["--jsn"], ["more"], ["--status-socket", "relative"]])
def test_unknown_arguments_are_a_usage_error(wrong: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    try:
        code: object = main(["doctor", *wrong])
    except SystemExit as end:
        code = end.code
    assert code == 2
    assert capfd.readouterr().err.startswith("auditsense: error: ")


# --- this host, as another user or in another namespace --------------------------------------

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


NOT_ALLOWED = 77


def asked_after(change: Callable[[], object]) -> tuple[int, dict[str, Level], list[str]]:
    """Run doctor in a child after *change*; return exit code, levels above ok, and unseen checks."""
    main(["doctor", "--json", "--status-socket", "/nowhere"])  # whatever it loads is loaded before
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 99
        try:
            sys.stdout = os.fdopen(writing, "w")
            change()
            code = main(["doctor", "--json", "--status-socket", "/nowhere"])
        finally:
            os._exit(code)
    os.close(writing)
    with os.fdopen(reading) as printed:
        text = printed.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == NOT_ALLOWED:
        pytest.skip("this namespace cannot be made here, as in a chroot")
    document = json.loads(text)
    findings = [finding for finding in document["findings"] if finding["level"] != "ok"]
    levels = {finding["id"]: Level[finding["level"].upper()] for finding in findings}
    return code, levels, document["unseen"]


def unshare(flags: int) -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(flags):
        os._exit(NOT_ALLOWED)


@as_root
def test_unprivileged_user_gets_the_list_of_unseen_checks() -> None:
    code, found, unseen = asked_after(lambda: os.setresuid(65534, 65534, 65534))
    assert code == 1
    assert (found["kernel-audit"], found["capabilities"]) == (ERROR, ERROR)
    assert {"audit-enabled", "audit-rule", "socket-owner", "other-procfs"} <= {*unseen}


@as_root
def test_new_network_namespace_is_found() -> None:
    _, here, _ = asked_after(lambda: None)
    if "kernel-audit" in here:
        pytest.skip("no kernel audit here")
    code, found, _ = asked_after(lambda: unshare(0x4000_0000))  # CLONE_NEWNET
    assert {name: level for name, level in found.items() if name not in here} == {
        "network-namespace": WARNING
    }
    assert code == 1


@as_root
def test_new_user_namespace_is_found() -> None:
    code, found, unseen = asked_after(lambda: unshare(0x1000_0000))  # CLONE_NEWUSER
    assert code == 1
    assert (found["kernel-audit"], found["container"]) == (ERROR, NOTE)
    assert "audit-enabled" in unseen


def test_troubleshooting_page_lists_exactly_the_checks() -> None:
    page = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    headings = [line.removeprefix("### ") for line in page.splitlines() if line.startswith("### ")]
    assert headings == [id_of(check) for check in CHECKS]


def test_default_rules_are_those_of_shipped_detections(host: Prepared) -> None:
    assert host.facts().wanted == tuple(map(auditctl.parse, WANTED))


def test_clock_check_reads_only() -> None:
    assert looking.clock_synchronised() in {True, False, None}


def test_empty_diagnosis_is_ok() -> None:
    assert Diagnosis((), ()).exit_code == 0
    assert command.verdict(Diagnosis((), ())) == "auditsense can run on this host: no problem found"
    assert shown(Diagnosis((), ())) == ["", "0 checks ok; --all lists them"]


def test_empty_proc_is_no_procfs(tmp_path: Path) -> None:
    assert proc.mounts(tmp_path) is None  # nothing is known of a host without the folder
    (tmp_path / "proc").mkdir()
    found = proc.mounts(tmp_path)
    assert found is not None
    assert (found.here, found.of_host) == ("", False)
