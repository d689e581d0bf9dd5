"""Alongside a real auditd: as its plugin, on its socket, behind its log, by multicast; see conftest.py."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.live.restore_host import Kernel
from tests.live.workloads import AUDITSENSE, OWN_RULE, Scanner, audit_rule, command, done
from tests.support.debian import debian, environment
from tests.support.docs_commands import ELSEWHERE, PAGES, steps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


LIMIT_S = 300.0
OPENS = 10
MANY = 200
PERIOD_US = 2000  # so slow that auditd loses nothing
LOGGED = ("SYSCALL", "CWD", "PATH", "PROCTITLE")  # auditd writes no EOE
OFF = ("--format", "jsonl", "--status-socket", "off")
MULTICAST = ("run", "--source", "multicast", "--self-test", "0", "--audit-rule", OWN_RULE, *OFF)
PACKAGES = ("auditd", "libaudit1", "libauparse0", "libwrap0", "libcap-ng0", "libgssapi-krb5-2")
PAGE_PLUGIN = Path(__file__).parents[2] / "src/auditsense/sources/plugin.conf"

CONFIGURATION = """\
local_events = yes
write_logs = yes
log_file = {folder}/audit.log
log_group = root
log_format = {form}
flush = INCREMENTAL
freq = 1
max_log_file = 8
num_logs = 2
priority_boost = 0
name_format = NONE
max_log_file_action = IGNORE
space_left = 2
space_left_action = IGNORE
admin_space_left = 1
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
use_libwrap = no
distribute_network = no
q_depth = 2000
overflow_action = IGNORE
plugin_dir = {folder}/plugins.d
"""

AF_UNIX = """\
active = yes
direction = out
path = builtin_af_unix
type = builtin
args = 0600 {folder}/events
format = string
"""


def until(what: Callable[[], object], say: Callable[[], str]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not what():
        assert time.monotonic() < deadline, say()
        time.sleep(0.02)


def private(path: Path, text: str, mode: int = 0o640) -> None:
    path.write_text(text)
    path.chmod(mode)


def configure(folder: Path, form: str) -> None:
    (folder / "plugins.d").mkdir(mode=0o750)
    private(folder / "auditd.conf", CONFIGURATION.format(folder=folder, form=form))


def add_plugins(folder: Path) -> None:
    """Put our plugin there, as it is shipped but for its path, and auditd's socket."""
    private(folder / "plugins.d/af_unix.conf", AF_UNIX.format(folder=folder))
    python, *words = AUDITSENSE
    code = words[-1].replace('"', '\\"')
    script = (
        "#!/bin/sh\nunset LD_LIBRARY_PATH\n"
        f'exec {python} -c "{code}" "$@" {" ".join(OFF)} >>{folder}/plugin.out 2>>{folder}/plugin.err\n'
    )
    private(folder / "auditsense", script, 0o750)
    plugin = PAGE_PLUGIN.read_text().replace("/usr/bin/auditsense", str(folder / "auditsense"))
    private(folder / "plugins.d/auditsense.conf", plugin)


@contextmanager
def auditd(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run auditd with the configuration in *folder* and the rule of our loads, without waiting for it."""
    root = debian(*PACKAGES)
    with Kernel() as kernel:
        before = kernel.state()
        kernel.set("backlog_wait_time", 0)
        kernel.set("backlog_limit", 8192)
        try:
            with (folder / "auditd.err").open("wb") as output:
                process = subprocess.Popen(
                    [str(root / "sbin/auditd"), "-n", "-c", str(folder)],
                    env=environment(root),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )
            try:
                until(
                    lambda: process.poll() is None and kernel.state().pid == process.pid,
                    lambda: f"auditd {process.poll()}: {(folder / 'auditd.err').read_text()}",
                )
                with audit_rule(OWN_RULE):
                    yield process
            finally:
                process.terminate()
                try:
                    process.wait(LIMIT_S)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        finally:
            if kernel.state().pid:
                kernel.release_dead_owner()
            for name in ("enabled", "backlog_limit", "backlog_wait_time"):
                kernel.set(name, getattr(before, name))


def text_of(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def documents(printed: str, pid: int, state: str = "alert") -> list[Any]:
    """Return the documents about one process."""
    found = [json.loads(line) for line in printed.splitlines() if line.endswith("}")]
    return [
        one
        for one in found
        if one["auditsense"].get("state") == state and one.get("process", {}).get("pid") == pid
    ]


def alerts(printed: str, pid: int) -> list[Any]:
    """Return what names the alerts of one process: the stamps of their events, and their ids."""
    return [(one["auditsense"]["events"], one["event"]["id"]) for one in documents(printed, pid)]


def as_in_the_page(source: str, path: Path) -> list[str]:
    """Return the command of docs/sources.md for a source, at another path."""
    (page,) = (one for one in PAGES if one.name == "sources.md")
    (found,) = (one for one in steps(page) if f" --source {source}:" in one.command)
    assert any(
        re.match(pattern, found.command) and Path(__file__).match(place)
        for pattern, place in ELSEWHERE.items()
    )
    _, *words = shlex.split(found.command)
    return [f"{source}:{path}" if word.startswith(f"{source}:") else word for word in words]


def logged(log: Path, pid: int) -> Counter[str]:
    """Return how many records of which type auditd has written for the opens of one process."""
    by_event: dict[str, list[str]] = {}
    of_process = set()
    for line in text_of(log).splitlines():
        if (found := re.match(r"type=(\w+) msg=audit\(([\d.:]+)\)", line)) is not None:
            by_event.setdefault(found[2], []).append(found[1])
            if f" pid={pid} " in line and 'key="audit_proc"' in line:
                of_process.add(found[2])
    return Counter(kind for event in of_process for kind in by_event[event])


def searched(log: Path, pid: int) -> int:
    """Return how many SYSCALL records of a process auditd's own ausearch finds by the key."""
    root = debian(*PACKAGES)
    ran = subprocess.run(
        [root / "sbin/ausearch", "-if", log, "-k", "audit_proc", "--raw"],
        env=environment(root),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=True,
    )
    return len(re.findall(rf"^type=SYSCALL .* pid={pid} ", ran.stdout, re.MULTILINE))


@pytest.mark.parametrize("form", ["RAW", "ENRICHED"])
def test_every_source_alongside_auditd_alerts_alike(scanner: Scanner, tmp_path: Path, form: str) -> None:
    errors: Callable[[], str] = lambda: text_of(tmp_path / "plugin.err") + text_of(tmp_path / "auditd.err")  # noqa: E731
    log = tmp_path / "audit.log"
    configure(tmp_path, form)
    add_plugins(tmp_path)
    with auditd(tmp_path) as daemon:
        until(lambda: "watching" in text_of(tmp_path / "plugin.err"), errors)
        until((tmp_path / "events").exists, errors)
        with (
            command(*MULTICAST) as listener,
            command(*as_in_the_page("unix", tmp_path / "events"), *OFF) as by_socket,
            command(*as_in_the_page("log", log), *OFF) as by_log,
        ):
            for one in (listener, by_socket, by_log):
                one.wait_until_ready()
            pid = scanner.scan(OPENS)
            ways: dict[str, Callable[[], str]] = {
                "multicast": lambda: listener.printed,
                "unix": lambda: by_socket.printed,
                "log": lambda: by_log.printed,
                "audisp": lambda: text_of(tmp_path / "plugin.out"),
            }
            until(lambda: all(alerts(printed(), pid) for printed in ways.values()), errors)
            found = {name: alerts(printed(), pid) for name, printed in ways.items()}
            assert daemon.poll() is None
            assert [one.end() for one in (listener, by_socket, by_log)] == [0, 0, 0]
    assert len(found["multicast"]) == 1
    assert all(one == found["multicast"] for one in found.values()), found
    assert logged(log, pid) == Counter(dict.fromkeys(LOGGED, OPENS))
    assert ("\x1d" in log.read_text()) == (form == "ENRICHED")
    until(
        lambda: "the host is as it was" in text_of(tmp_path / "plugin.err"), errors
    )  # ended by auditd, and well
    assert alerts(done("replay", "--format", "jsonl", str(tmp_path)).stdout, pid) == found["multicast"]
    assert searched(log, pid) == OPENS
    assert not Path("/run/auditd.pid").exists()


def test_auditd_logs_the_same_with_a_listener_alongside(scanner: Scanner, tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    configure(tmp_path, "RAW")
    wanted = Counter(dict.fromkeys(LOGGED, MANY))
    with auditd(tmp_path):
        alone = scanner.scan(MANY, period_us=PERIOD_US)
        until(lambda: logged(log, alone) == wanted, lambda: f"auditd alone: {logged(log, alone)}")
        with command(*MULTICAST) as listener:
            listener.wait_until_ready()
            # What the listener itself opens below /proc; and, to see that this would be seen, what we do.
            reads = "-a always,exit -F dir=/proc -F perm=r -F pid={} -k {}"
            with (
                audit_rule(reads.format(listener.pid, "of_listener")),
                audit_rule(reads.format(os.getpid(), "of_test")),
            ):
                assert [*Path("/proc").iterdir()]
                pid = scanner.scan(MANY, period_us=PERIOD_US)
                until(lambda: logged(log, pid) == wanted, lambda: f"with it: {logged(log, pid)}")
                until(lambda: documents(listener.printed, pid), lambda: listener.stderr)
            assert listener.end() == 0
            printed, summary = listener.printed, listener.stderr
    assert logged(log, alone) == logged(log, pid) == wanted
    (closed,) = documents(printed, pid, "closed")
    assert (len(alerts(printed, pid)), closed["auditsense"]["count"]) == (1, MANY)
    assert "lost: kernel 0, serials 0, incomplete 0" in summary
    text = log.read_text()
    assert re.search(r'^type=SYSCALL .* key="of_test"', text, re.MULTILINE)
    assert not re.search(r'^type=SYSCALL .* key="of_listener"', text, re.MULTILINE)
    # The kernel notes who begins and who ends to listen, and nothing else of it.
    notes = re.findall(r"^type=EVENT_LISTENER msg=(\S+) .* op=(\w+)", text, re.MULTILINE)
    assert [op for _, op in notes] == ["connect", "disconnect"]
    ours = re.findall(rf"^type=\w+ msg=(\S+) .*\bpid={listener.pid}\b", text, re.MULTILINE)
    assert {*ours} == {stamp for stamp, _ in notes}
    assert alerts(done("replay", "--format", "jsonl", str(log)).stdout, pid) == alerts(printed, pid)


def test_plugin_restarts_after_death_and_survives_reload(scanner: Scanner, tmp_path: Path) -> None:
    errors: Callable[[], str] = lambda: text_of(tmp_path / "plugin.err")  # noqa: E731
    configure(tmp_path, "RAW")
    add_plugins(tmp_path)
    with auditd(tmp_path) as daemon:
        until(lambda: errors().count("watching") == 1, errors)
        (plugin,) = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
        daemon.send_signal(signal.SIGHUP)  # passed on
        first = scanner.scan(OPENS)
        until(lambda: alerts(text_of(tmp_path / "plugin.out"), first), errors)
        os.kill(int(plugin), signal.SIGKILL)
        until(lambda: not Path(f"/proc/{plugin}/fd/0").exists(), errors)
        scanner.scan(1)  # auditd notices with the next record
        until(lambda: errors().count("watching") == 2, errors)
        second = scanner.scan(OPENS)
        until(lambda: alerts(text_of(tmp_path / "plugin.out"), second), errors)
    until(lambda: errors().count("the host is as it was") == 1, errors)
