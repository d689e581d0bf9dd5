"""Beside a real auditd: as its plugin, on its socket, behind its log, by multicast; see conftest.py."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.debian import debian, environment
    from tests.live.guardian import Kernel
    from tests.live.loads import AUDITSENSE, Scanner, command, done, running
else:
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from debian import debian, environment
    from guardian import Kernel
    from loads import AUDITSENSE, Scanner, command, done, running

LIMIT_S = 15.0
OPENS = 10
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


@contextmanager
def auditd(folder: Path, form: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run auditd with a configuration of its own, our plugin among it; nobody waits for it."""
    root = debian("auditd", "libaudit1", "libauparse0", "libwrap0", "libcap-ng0", "libgssapi-krb5-2")
    (folder / "plugins.d").mkdir(mode=0o750)
    private(folder / "auditd.conf", CONFIGURATION.format(folder=folder, form=form))
    private(folder / "plugins.d/af_unix.conf", AF_UNIX.format(folder=folder))
    python, *words = AUDITSENSE
    code = words[-1].replace('"', '\\"')
    script = (
        "#!/bin/sh\nunset LD_LIBRARY_PATH\n"
        f'exec {python} -c "{code}" "$@" --format jsonl --status-socket off '
        f">{folder}/plugin.out 2>{folder}/plugin.err\n"
    )
    private(folder / "auditsense", script, 0o750)
    plugin = PAGE_PLUGIN.read_text().replace("/usr/bin/auditsense", str(folder / "auditsense"))
    private(folder / "plugins.d/auditsense.conf", plugin)
    with Kernel() as kernel:
        before = kernel.state()
        kernel.set("backlog_wait_time", 0)
        kernel.set("backlog_limit", 8192)
        try:
            with (folder / "auditd.err").open("wb") as said:
                process = subprocess.Popen(
                    [str(root / "sbin/auditd"), "-n", "-c", str(folder)],
                    env=environment(root),
                    stdin=subprocess.DEVNULL,
                    stdout=said,
                    stderr=said,
                )
            try:
                until(
                    lambda: process.poll() is None and kernel.state().pid == process.pid,
                    lambda: f"auditd {process.poll()}: {(folder / 'auditd.err').read_text()}",
                )
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


def alerts(printed: str, pid: int) -> list[Any]:
    """Return the ids of the alerts of one process."""
    found = [json.loads(line) for line in printed.splitlines() if line.endswith("}")]
    return [
        one["auditsense"]["events"]
        for one in found
        if one["auditsense"]["state"] == "alert" and one.get("process", {}).get("pid") == pid
    ]


def test_every_way_beside_auditd_gives_the_same_alert(scanner: Scanner, tmp_path: Path) -> None:
    said: Callable[[], str] = lambda: text_of(tmp_path / "plugin.err") + text_of(tmp_path / "auditd.err")  # noqa: E731
    off = ("--format", "jsonl", "--status-socket", "off")
    with auditd(tmp_path, "ENRICHED") as daemon:
        until(lambda: "watching" in text_of(tmp_path / "plugin.err"), said)
        until((tmp_path / "events").exists, said)
        with (
            running("run", "--source", "multicast", "--self-test", "0", *off) as beside,
            command("run", "--source", f"unix:{tmp_path}/events", *off) as by_socket,
            command("run", "--source", f"log:{tmp_path}/audit.log", *off) as by_log,
        ):
            by_socket.wait_until_ready()
            by_log.wait_until_ready()
            pid = scanner.scan(OPENS)
            ways: dict[str, Callable[[], str]] = {
                "multicast": lambda: beside.printed,
                "unix": lambda: by_socket.printed,
                "log": lambda: by_log.printed,
                "audisp": lambda: text_of(tmp_path / "plugin.out"),
            }
            until(lambda: all(alerts(printed(), pid) for printed in ways.values()), said)
            found = {name: alerts(printed(), pid) for name, printed in ways.items()}
            ours = {beside.process.pid, by_socket.process.pid, by_log.process.pid}
            assert daemon.poll() is None
    assert len(found["multicast"]) == 1
    assert all(one == found["multicast"] for one in found.values()), found
    log = (tmp_path / "audit.log").read_text()
    calls = [
        line for line in log.splitlines() if line.startswith("type=SYSCALL") and 'key="audit_proc"' in line
    ]
    assert len([line for line in calls if f" pid={pid} " in line]) >= OPENS  # auditd missed nothing
    assert not [line for line in calls if int(re.findall(r" pid=(\d+)", line)[0]) in ours]
    assert "the host is as it was" in text_of(tmp_path / "plugin.err")  # ended by auditd, and well
    replayed = done("replay", "--format", "jsonl", str(tmp_path / "audit.log"))
    assert alerts(replayed.stdout, pid) == found["multicast"]
    assert not Path("/run/auditd.pid").exists()
