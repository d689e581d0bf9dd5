"""What a burst costs and loses: 200,000 opens of /proc, the sensor beside a loop that throws all away.

    python bench/live/burst.py [--opens N] [--producers N] [--pairs N] [--json FILE]

Each pair is one burst read by `auditsense run` and one read by drain.c (poll, recvmmsg, count),
in turns of order, with the same settings and audit rule. CPU time is what /proc/PID/stat says of
the reader, and of the kernel thread kauditd, from before the burst until both rest.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.kernel import auditctl
from auditsense.kernel.plan import DEFAULT_BACKLOG_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.live.ground import compiled, ground, machine, write_json
    from tests.live.guardian import ADD_RULE, GET, Kernel
    from tests.live.loads import OWN_RULE, Scanner, finish, running
else:  # the first import makes the others possible
    from ground import compiled, ground, machine, write_json
    from guardian import ADD_RULE, GET, Kernel
    from loads import OWN_RULE, Scanner, finish, running

RECORDS_AN_OPEN = 5
TICKS = os.sysconf("SC_CLK_TCK")
LOST_WORD, BACKLOG_WORD = 6, 7  # of struct audit_status
REST_S = 0.3
REST_LIMIT_S = 30.0
STEP_S = 0.01
SUMMARY = re.compile(
    r"(?P<records>\d+) records, (?P<events>\d+) events, (?P<matches>\d+) matches, (?P<alerts>\d+) alerts; "
    r"lost: kernel (?P<kernel>\d+), serials (?P<serials>\d+), incomplete (?P<incomplete>\d+)"
)


@dataclass(frozen=True)
class Cost:
    """Seconds of CPU."""

    user: float
    system: float

    @property
    def total(self) -> float:
        """Both."""
        return self.user + self.system

    def __sub__(self, other: Cost) -> Cost:
        return Cost(round(self.user - other.user, 3), round(self.system - other.system, 3))


@dataclass(frozen=True)
class Burst:
    """One burst and its reader; `lost_kernel` is what AUDIT_GET counted meanwhile."""

    reader: str
    opens_s: float
    records: int
    records_s: float
    cpu: Cost
    kauditd: Cost
    lost_kernel: int
    sensor: dict[str, int] | None


def cost(pid: int) -> Cost:
    """Return the CPU time of a process so far."""
    words = (
        Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(") ")[2].split()
    )
    return Cost(int(words[11]) / TICKS, int(words[12]) / TICKS)


def find_kauditd() -> int:
    """Return the pid of the kernel's thread."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and (folder / "comm").read_text(encoding="utf-8") == "kauditd\n":
            return int(folder.name)
    sys.exit("there is no kauditd")


def status_word(number: int) -> int:
    with Kernel() as kernel:
        return int.from_bytes(kernel.ask(GET, ack=False)[0][4 * number : 4 * number + 4], sys.byteorder)


def wait_for_rest(*pids: int) -> float:
    """Wait until these processes have used no CPU time for a while; return when that began."""
    costs = [cost(pid) for pid in pids]
    since = time.monotonic()
    limit = since + REST_LIMIT_S
    while time.monotonic() - since < REST_S or status_word(BACKLOG_WORD):
        time.sleep(STEP_S)
        now = [cost(pid) for pid in pids]
        if now != costs:
            costs, since = now, time.monotonic()
        if time.monotonic() > limit:
            sys.exit("the readers do not come to rest")
    return since


def burst(
    name: str, pid: int, scanner: Scanner, wanted: argparse.Namespace, result: Callable[[], dict[str, int]]
) -> Burst:
    """Let a reader that is ready read one burst; *result* ends it and returns what it counted."""
    kauditd = find_kauditd()
    wait_for_rest(pid, kauditd)
    cpu, kernel_cpu, lost = cost(pid), cost(kauditd), status_word(LOST_WORD)
    started = time.monotonic()
    loads = [scanner.start(wanted.opens // wanted.producers) for _ in range(wanted.producers)]
    for load in loads:
        finish(load)
    produced = time.monotonic() - started
    read = wait_for_rest(pid, kauditd) - started
    cpu, kernel_cpu, lost = cost(pid) - cpu, cost(kauditd) - kernel_cpu, status_word(LOST_WORD) - lost
    counted = result()
    return Burst(
        reader=name,
        opens_s=round(wanted.opens / produced),
        records=counted["records"],
        records_s=round(counted["records"] / read),
        cpu=cpu,
        kauditd=kernel_cpu,
        lost_kernel=lost,
        sensor=counted if "events" in counted else None,
    )


def by_sensor(scanner: Scanner, wanted: argparse.Namespace) -> Burst:
    with running("run") as sensor:

        def result() -> dict[str, int]:
            sensor.end()
            found = SUMMARY.search(sensor.said)
            if found is None:
                sys.exit(f"the sensor said: {sensor.said}")
            return {name: int(value) for name, value in found.groupdict().items()}

        return burst("sensor", sensor.pid, scanner, wanted, result)


@contextmanager
def same_settings() -> Iterator[Callable[[], None]]:
    """Prepare the kernel as the sensor does, for a reader that does not; give what turns audit on."""
    with Kernel() as kernel:
        before = kernel.state()
        try:
            kernel.set("backlog_wait_time", 0)
            kernel.set("backlog_limit", DEFAULT_BACKLOG_LIMIT)

            def switch_on() -> None:
                kernel.ask(ADD_RULE, auditctl.parse(OWN_RULE).to_bytes())
                kernel.set("enabled", 1)

            yield switch_on
        finally:
            kernel.restore(before)


def by_drain(program: str, scanner: Scanner, wanted: argparse.Namespace) -> Burst:
    pipe = subprocess.PIPE
    with (
        same_settings() as switch_on,
        subprocess.Popen([program], stdin=pipe, stdout=pipe, text=True) as process,
    ):
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            sys.exit("the draining loop did not start")
        switch_on()

        def result() -> dict[str, int]:
            printed, _ = process.communicate(timeout=30)
            counted: dict[str, int] = json.loads(printed)
            return {"records": counted["datagrams"], "calls": counted["calls"]}

        return burst("drain", process.pid, scanner, wanted, result)


def measure(wanted: argparse.Namespace) -> list[tuple[Burst, Burst]]:
    pairs: list[tuple[Burst, Burst]] = []
    with ground() as (scanner, folder):
        program = compiled(Path(__file__).with_name("drain.c"), folder)
        for turn in range(wanted.pairs):
            if turn % 2:
                drained, sensed = by_drain(program, scanner, wanted), by_sensor(scanner, wanted)
            else:
                sensed, drained = by_sensor(scanner, wanted), by_drain(program, scanner, wanted)
            for one in (sensed, drained):
                print_row(one)
            pairs.append((sensed, drained))
    return pairs


def print_row(one: Burst) -> None:
    counted = f"{one.sensor['events']:>9}" if one.sensor else f"{'':>9}"
    lost = f"{one.sensor['serials']:>9}{one.sensor['incomplete']:>11}" if one.sensor else f"{'':>20}"
    print(
        f"{one.reader:<7}{one.opens_s:>9.0f}{one.records_s:>10.0f}{one.records:>9}{counted}"
        f"{one.lost_kernel:>8}{lost}"
        f"{one.cpu.user:>8.2f}{one.cpu.system:>8.2f}{one.cpu.total:>8.2f}{one.kauditd.total:>9.2f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost and loss of a burst, beside a loop that only drains.")
    parser.add_argument("--opens", type=int, default=200_000)
    parser.add_argument("--producers", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--json", metavar="FILE")
    wanted = parser.parse_args()
    print("                                               lost: by    CPU s of the reader")
    print(
        f"{'reader':<7}{'opens/s':>9}{'records/s':>10}{'records':>9}{'events':>9}"
        f"{'kernel':>8}{'serials':>9}{'incomplete':>11}{'user':>8}{'system':>8}{'both':>8}{'kauditd':>9}"
    )
    pairs = measure(wanted)
    ratios = [sensed.cpu.total / drained.cpu.total for sensed, drained in pairs]
    kauditd = [sensed.kauditd.total / drained.kauditd.total for sensed, drained in pairs]
    print(f"CPU of the sensor / of the draining loop: median {statistics.median(ratios):.2f}", end="")
    print(f" ({min(ratios):.2f} to {max(ratios):.2f}); of kauditd: median {statistics.median(kauditd):.2f}")
    figures = {
        "bench": "burst",
        "machine": machine(),
        "opens": wanted.opens,
        "producers": wanted.producers,
        "pairs": [{one.reader: asdict(one) for one in pair} for pair in pairs],
        "cpu_ratio": ratios,
        "kauditd_ratio": kauditd,
    }
    write_json(wanted.json, figures)


if __name__ == "__main__":
    main()
