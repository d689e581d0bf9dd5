"""Losses and CPU of auditd in bursts that alternate with those of the sensor.

    python bench/live/auditd.py [--opens N] [--producers N] [--rounds N] [--root FOLDER] [--json FILE]

auditd gets the kernel settings of the sensor (backlog_limit 32768, no process waits), the same audit rule,
and a separate configuration folder. It runs twice: once it writes its log (RAW, INCREMENTAL_ASYNC, the
defaults), once it writes nothing and passes all records to a plugin that counts (`grep -c`, default q_depth).
Counted are SYSCALL records in the log, or by the plugin. CPU is that of the daemon alone, from
/proc/PID/stat. --root: a folder with Debian's auditd, libaudit1 and libauparse0 unpacked (see
bench/peers/run.py).
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.bench.burst import burst
from auditsense.bench.c_helpers import OWN_RULE
from auditsense.bench.consumers import Consumer, sensor
from auditsense.bench.report import machine
from auditsense.kernel.audit_status import StatusField
from auditsense.kernel.commands import Commands
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT
from auditsense.kernel.rules import auditctl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from auditsense.bench.burst import BurstResult
    from bench.live.ground import ground, write_json
else:
    from ground import ground, write_json

LIBRARIES = ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu", "usr/lib", "lib")
START_LIMIT_S = 10.0
END_LIMIT_S = 30.0
CONFIGURATION = """\
local_events = yes
write_logs = {writes}
log_file = {folder}/audit.log
log_group = root
log_format = RAW
flush = INCREMENTAL_ASYNC
freq = 50
max_log_file = 1000
num_logs = 0
priority_boost = 4
name_format = NONE
max_log_file_action = IGNORE
space_left = 2
space_left_action = IGNORE
admin_space_left = 1
admin_space_left_action = IGNORE
disk_full_action = IGNORE
disk_error_action = IGNORE
q_depth = 2000
overflow_action = IGNORE
plugin_dir = {folder}/plugins.d
"""
PLUGIN = "active = yes\ndirection = out\npath = {program}\ntype = always\nformat = string\n"
# It ends with its input, so queued records count.
COUNTER = "#!/bin/sh\ntrap '' TERM HUP\nexec grep -c '^type=SYSCALL' >{folder}/counted\n"


def configured(folder: Path, *, writes: bool) -> None:
    """Write the configuration folder."""
    (folder / "plugins.d").mkdir(mode=0o700, parents=True)
    text = CONFIGURATION.format(folder=folder, writes="yes" if writes else "no")
    (folder / "auditd.conf").write_text(text, encoding="utf-8")
    (folder / "auditd.conf").chmod(0o640)
    if not writes:
        program = folder / "count"
        program.write_text(COUNTER.format(folder=folder), encoding="utf-8")
        program.chmod(0o750)
        plugin = folder / "plugins.d" / "count.conf"
        plugin.write_text(PLUGIN.format(program=program), encoding="utf-8")
        plugin.chmod(0o640)


@contextmanager
def settings() -> Iterator[None]:
    """Apply the settings of the sensor and the rule during the block."""
    rule = auditctl.parse(OWN_RULE)
    with Commands() as commands:
        before = commands.status()
        wait = before.backlog_wait_time
        if wait is None:
            sys.exit("this kernel has no backlog_wait_time")
        try:
            commands.set(StatusField.BACKLOG_WAIT_TIME, 0)
            commands.set(StatusField.BACKLOG_LIMIT, DEFAULT_BACKLOG_LIMIT)
            commands.add_rule(rule)
            yield
        finally:
            commands.delete_rule(rule)
            commands.set(StatusField.ENABLED, int(before.enabled))
            commands.set(StatusField.BACKLOG_LIMIT, before.backlog_limit)
            commands.set(StatusField.BACKLOG_WAIT_TIME, wait)


@contextmanager
def auditd(program: Path, libraries: str, folder: Path, *, writes: bool) -> Iterator[Consumer]:
    """Run auditd as the owner of the audit socket during the block."""
    configured(folder, writes=writes)
    environment = {**os.environ, "LD_LIBRARY_PATH": libraries}
    with (folder / "output").open("wb") as output, settings(), Commands() as commands:
        process = subprocess.Popen(
            [program, "-n", "-c", folder],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
        )

        def end() -> dict[str, int]:
            process.send_signal(signal.SIGTERM)
            process.wait(END_LIMIT_S)
            return {"records": counted(folder, writes=writes)}

        try:
            deadline = time.monotonic() + START_LIMIT_S
            while commands.status().pid != process.pid or not commands.status().enabled:
                if process.poll() is not None or time.monotonic() > deadline:
                    message = (folder / "output").read_text(errors="replace").strip()
                    sys.exit(f"auditd did not start: {message}")
                time.sleep(0.01)
            yield Consumer("auditd, its log" if writes else "auditd, a plugin", process.pid, end)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(END_LIMIT_S)


def counted(folder: Path, *, writes: bool) -> int:
    """Return the number of SYSCALL records of our rule in the log, or that of the plugin."""
    if writes:
        with (folder / "audit.log").open("rb") as log:
            return sum(line.startswith(b"type=SYSCALL") and b'key="audit_proc"' in line for line in log)
    result = folder / "counted"
    deadline = time.monotonic() + END_LIMIT_S
    while not (text := result.read_text(encoding="ascii").strip()):
        if time.monotonic() > deadline:
            sys.exit("auditd's plugin counted nothing")
        time.sleep(0.05)
    return int(text)


def row(result: BurstResult) -> dict[str, object]:
    """Return a burst with the number of seen and unseen opens."""
    seen = result.sensor["matches"] if result.sensor else result.records
    return {**asdict(result), "seen": seen, "unseen": result.opens - seen}


def main() -> None:
    parser = argparse.ArgumentParser(description="Bursts with auditd and with the sensor.")
    parser.add_argument("--opens", type=int, default=200_000)
    parser.add_argument("--producers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--root", type=Path, default=Path("/"), metavar="FOLDER")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    program = next(
        (p for p in (arguments.root / "sbin/auditd", arguments.root / "usr/sbin/auditd") if p.exists()), None
    )
    if program is None:
        sys.exit(f"there is no auditd in {arguments.root}: apt-get download auditd …, see bench/peers/run.py")
    libraries = ":".join(str(arguments.root / name) for name in LIBRARIES)
    print(
        f"{'reader':<18}{'opens':>8}{'seen':>8}{'unseen':>8}{'kernel lost':>12}"
        f"{'opens/s':>9}{'CPU s':>7}{'kauditd':>9}"
    )
    rows = []
    with ground() as (scanner, folder):
        for turn in range(arguments.rounds):
            daemon = partial(auditd, program, libraries)
            readers: list[Callable[[], AbstractContextManager[Consumer]]] = [
                partial(daemon, folder / f"log-{turn}", writes=True),
                partial(daemon, folder / f"plugin-{turn}", writes=False),
                sensor,
            ]
            for reader in readers if turn % 2 == 0 else readers[::-1]:
                with reader() as running:
                    result = burst(running, scanner.command, arguments.opens, arguments.producers)
                rows.append(figures := row(result))
                print(
                    f"{result.reader:<18}{result.opens:>8}{figures['seen']:>8}{figures['unseen']:>8}{result.lost_kernel:>12}"
                    f"{result.opens_s:>9}{result.cpu.total:>7.2f}{result.kauditd.total:>9.2f}",
                    flush=True,
                )
    write_json(
        arguments.json,
        {
            "bench": "auditd",
            "machine": machine(),
            "opens": arguments.opens,
            "producers": arguments.producers,
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
