"""A host that compiles a program while all detections are loaded: losses, records a second, and CPU.

    python bench/live/compiling.py [--rules FOLDER] [--files N] [--idle SECONDS] [--json FILE]

The audit rules are those that are derived for the detections, limited to the user 65534, who compiles. `make
-j2` builds N small files in C: for each a shell, the compiler's driver, the compiler and the assembler. At
first the host is idle. CPU is that of this process, which is the sensor and nothing else, and of kauditd, the
kernel's thread. Exit status 1: a record was lost.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from auditsense import Sensor
from auditsense.bench.procfs import cost, find_kauditd
from auditsense.bench.report import machine
from auditsense.detections.compiler import compile_all
from auditsense.detections.derive import derive
from auditsense.detections.loader import load_detections, shipped_detections
from auditsense.errors import DetectionError
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from pathlib import Path

    from auditsense.detections.model import Detection
    from bench.live.ground import ground, write_json
else:
    from ground import ground, write_json

USER: Final = 65534
MAKEFILE: Final = """
objects := $(patsubst %.c,%.o,$(wildcard *.c))
program: $(objects)
\tcc -o $@ $^
%.o: %.c
\tcc -O1 -Wall -c -o $@ $< && true
"""


@dataclass(frozen=True)
class Load:
    """Activity of the sensor while the host was idle, or compiled.

    Attributes:
        name: of the load.
        seconds: that it took.
        records: received by the sensor.
        events: decided.
        alerts: documents of detections.
        cpu_s: of the sensor.
        kauditd_s: of the kernel thread.
        parents_unknown: events with an unknown parent.
        lost: records known to be lost, by any cause.
    """

    name: str
    seconds: float
    records: int
    events: int
    alerts: int
    cpu_s: float
    kauditd_s: float
    parents_unknown: int
    lost: int

    def row(self) -> str:
        """Return a line of the table."""
        share, kauditd = (100 * spent / self.seconds for spent in (self.cpu_s, self.kauditd_s))
        return (
            f"{self.name:<12}{self.seconds:>8.1f}{self.records:>10}{self.records / self.seconds:>11.0f}"
            f"{self.events:>9}{self.alerts:>8}{share:>8.1f}{kauditd:>10.1f}{self.parents_unknown:>9}{self.lost:>7}"
        )


def compilable(detections: list[Detection]) -> list[Detection]:
    """Return the detections that this build can run, and name the others."""
    able = []
    for detection in detections:
        try:
            compile_all([detection], merge_ms=0)
        except DetectionError as error:
            print(f"left out: {detection.id}: {error}", file=sys.stderr)
        else:
            able.append(detection)
    return able


def write_program(folder: Path, files: int) -> None:
    """Write a program of many files, owned by the user who compiles it."""
    (folder / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    (folder / "main.c").write_text("int main(void) { return 0; }\n", encoding="utf-8")
    for n in range(files):
        text = f'#include <stdio.h>\nint file_{n}(int x) {{ printf("%d\\n", x); return x + {n}; }}\n'
        (folder / f"file_{n}.c").write_text(text, encoding="utf-8")
    for path in (folder, *folder.iterdir()):
        os.chown(path, USER, USER)


def own_rules(detections: list[Detection]) -> list[str]:
    """Return the derived audit rules, for the events of the user who compiles alone."""
    lines = derive(detections).lines()
    return [line.replace(" -k ", f" -F uid={USER} -k ") for line in lines if not line.startswith("-w ")]


def watch(sensor: Sensor, name: str, command: list[str] | None, folder: Path, seconds: float) -> Load:
    """Poll until the command has ended, or for some seconds."""
    before, losses, kernel = sensor.stats(), sensor.losses, cost(find_kauditd())
    cpu_s, started_s = time.process_time(), time.monotonic()
    process = None
    if command is not None:
        process = subprocess.Popen(
            command, cwd=folder, user=USER, group=USER, extra_groups=[], stdout=subprocess.DEVNULL
        )
    alerts, quiet_s = 0, 0.0
    while (
        process is not None and process.poll() is None
    ) or time.monotonic() - started_s < seconds + quiet_s:
        sensor.wait(0.1)
        alerts += sum(document["event"]["kind"] == "alert" for document in sensor.poll())
        if process is not None and process.returncode is not None and not quiet_s:
            seconds, quiet_s = time.monotonic() - started_s, 1.0  # what is still queued
    if process is not None and process.returncode:
        sys.exit(f"{command[0]} failed: {process.returncode}" if command else "")
    now = sensor.stats()
    return Load(
        name,
        time.monotonic() - started_s - quiet_s,
        now.records - before.records,
        now.events - before.events,
        alerts,
        time.process_time() - cpu_s,
        (cost(find_kauditd()) - kernel).total,
        now.parents_unknown - before.parents_unknown,
        (sensor.losses - losses).known,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Losses and cost while a host compiles.")
    parser.add_argument("--rules", metavar="FOLDER", default=os.environ.get("AUDITSENSE_ELASTIC_RULES", ""))
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--idle", type=float, default=20.0, metavar="SECONDS")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    refused: list[DetectionError] = []
    detections = shipped_detections()
    if arguments.rules:
        detections = compilable([*detections, *load_detections(arguments.rules, refused=refused.append)])
    lines = own_rules(detections)
    print(f"{len(detections)} detections, {len(lines)} audit rules")
    print(
        f"{'load':<12}{'seconds':>8}{'records':>10}{'records/s':>11}{'events':>9}{'alerts':>8}"
        f"{'CPU %':>8}{'kauditd %':>10}{'parents?':>9}{'lost':>7}"
    )
    with ground() as (_, folder):
        write_program(folder, arguments.files)
        with Sensor(detections, source=Unicast(lines, guarded=True)) as sensor:
            idle = watch(sensor, "idle", None, folder, arguments.idle)
            print(idle.row(), flush=True)
            compiling = watch(sensor, "compiling", ["make", "-j2"], folder, 0.0)
            print(compiling.row(), flush=True)
    figures = {"detections": len(detections), "audit_rules": len(lines), "files": arguments.files}
    write_json(
        arguments.json,
        {"bench": "compiling", "machine": machine(), **figures, "loads": [asdict(idle), asdict(compiling)]},
    )
    return 1 if idle.lost or compiling.lost else 0


if __name__ == "__main__":
    sys.exit(main())
