"""One burst of opens and one consumer: CPU, losses and rates."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditsense.bench.c_helpers import finish, scan, stop
from auditsense.bench.consumers import drain, sensor
from auditsense.bench.procfs import (
    CpuTime,
    cost,
    find_kauditd,
    resident,
    resident_in_mapping,
    wait_until_idle,
)
from auditsense.bench.timing import Spread
from auditsense.detect.detector import Detector
from auditsense.detect.host import Host
from auditsense.errors import AuditSenseError
from auditsense.kernel.commands import Commands

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

    from auditsense.bench.consumers import Consumer


@dataclass(frozen=True, slots=True)
class BurstResult:
    """Result of one burst.

    Attributes:
        reader: name of the consumer.
        opens: of all producers.
        opens_s: opens per second.
        records: that the consumer counted.
        records_s: records per second, until the last one.
        cpu: of the consumer.
        kauditd: CPU of the kernel's audit thread during the burst.
        lost_kernel: the kernel's count of lost records during the burst.
        resident_bytes: memory of the consumer after the burst.
        core_bytes: upper bound of the core's part of it; None: unknown.
        sensor: the sensor's counters; None: another consumer.
    """

    reader: str
    opens: int
    opens_s: int
    records: int
    records_s: int
    cpu: CpuTime
    kauditd: CpuTime
    lost_kernel: int
    resident_bytes: int
    core_bytes: int | None
    sensor: dict[str, int] | None

    @property
    def missing(self) -> int | None:
        """Opens that the sensor did not count; None: another consumer."""
        return None if self.sensor is None else self.opens - self.sensor["matches"]


def core_bytes_configured() -> int:
    """Return the memory limit of the core of a sensor with default limits."""
    with Detector(host=Host("0" * 32, "bench")) as detector:
        return detector.memory_bytes


def burst(consumer: Consumer, scanner: Sequence[str], opens: int, producers: int) -> BurstResult:
    """Run one burst against a started consumer, and end the consumer.

    Args:
        consumer: see `sensor` and `drain`.
        scanner: the command of the producers.
        opens: of all producers together.
        producers: parallel processes, 1 or more.
    """
    kauditd = find_kauditd()
    pids = (consumer.pid, kauditd)
    with Commands() as commands:
        wait_until_idle(commands, *pids)
        before, lost = [cost(pid) for pid in pids], commands.status().lost
        started = time.monotonic()
        loads: list[subprocess.Popen[str]] = []
        try:
            loads += [scan(scanner, opens // producers) for _ in range(producers)]
            for load in loads:
                finish(load)
        except BaseException:
            stop(*(load for load in loads if load.returncode is None))
            raise
        produced = time.monotonic() - started
        read = wait_until_idle(commands, *pids) - started
        spent = [cost(pid) - cost_before for pid, cost_before in zip(pids, before, strict=True)]
        lost = commands.status().lost - lost
    memory, core = resident(consumer.pid), resident_in_mapping(consumer.pid, core_bytes_configured())
    counted = consumer.end()
    return BurstResult(
        reader=consumer.name,
        opens=opens // producers * producers,
        opens_s=round(opens / produced),
        records=counted["records"],
        records_s=round(counted["records"] / read),
        cpu=spent[0],
        kauditd=spent[1],
        lost_kernel=lost,
        resident_bytes=memory,
        core_bytes=core if "events" in counted else None,
        sensor=counted if "events" in counted else None,
    )


def pairs(  # noqa: PLR0913 - one number of the plan each
    scanner: Sequence[str], program: str, times: int, *, opens: int, producers: int = 1, mode: str = "default"
) -> Iterator[tuple[BurstResult, BurstResult]]:
    """Yield pairs of bursts, consumed by the sensor and by the drain loop in alternating order.

    Args:
        scanner: the command of the producers.
        program: the compiled drain.c.
        times: number of pairs.
        opens: per burst.
        producers: parallel processes.
        mode: of the sensor, one of `consumers.MODES`.
    """
    for turn in range(times):
        results: dict[bool, BurstResult] = {}
        for is_sensor in (True, False) if turn % 2 == 0 else (False, True):
            with sensor(mode) if is_sensor else drain(program) as consumer:
                results[is_sensor] = burst(consumer, scanner, opens, producers)
        yield results[True], results[False]


def cpu_ratio(results: Sequence[tuple[BurstResult, BurstResult]], *, kauditd: bool = False) -> Spread:
    """Return the CPU of the sensor (or of kauditd during its run), divided by that of the drain loop.

    Relative to opens, not to records that arrived: losing records must not look cheaper.

    Raises:
        AuditSenseError: a burst was too short to be measured.
    """
    ratios = []
    for sensed, drained in results:
        ours, reference = (sensed.kauditd, drained.kauditd) if kauditd else (sensed.cpu, drained.cpu)
        if not reference.total:
            raise AuditSenseError("the burst is too short to be measured; use more opens")
        ratios.append(ours.total / reference.total)
    return Spread.of(ratios)
