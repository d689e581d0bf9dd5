"""One burst of opens and one reader: what it cost, what was lost, and how fast the opens went."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditsense.bench.c_helpers import finish, scan, stop
from auditsense.bench.consumers import drain, sensor
from auditsense.bench.procfs import Cost, cost, find_kauditd, resident, resident_in_mapping, wait_for_rest
from auditsense.bench.timing import Spread
from auditsense.detect.detector import Detector
from auditsense.detect.host import Host
from auditsense.errors import AuditSenseError
from auditsense.kernel.commands import Commands

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

    from auditsense.bench.consumers import Reader


@dataclass(frozen=True, slots=True)
class Burst:
    """One burst and its reader.

    Attributes:
        reader: whose costs these are.
        opens: that the producers made in all.
        opens_s: that they made a second.
        records: that the reader counted.
        records_s: of these, a second, to the last one.
        cpu: of the reader.
        kauditd: CPU of the kernel's audit thread meanwhile.
        lost_kernel: what the kernel counted as lost meanwhile.
        resident_bytes: memory of the reader after the burst.
        core_bytes: of these, at most so much of the core; None: it cannot be told apart.
        sensor: what the sensor said that it counted; None: it was not the sensor.
    """

    reader: str
    opens: int
    opens_s: int
    records: int
    records_s: int
    cpu: Cost
    kauditd: Cost
    lost_kernel: int
    resident_bytes: int
    core_bytes: int | None
    sensor: dict[str, int] | None

    @property
    def missing(self) -> int | None:
        """Opens that the sensor did not count; None: it was not the sensor."""
        return None if self.sensor is None else self.opens - self.sensor["matches"]


def core_bytes_configured() -> int:
    """Return what the core of a sensor with default limits may take."""
    with Detector(host=Host("0" * 32, "bench")) as detector:
        return detector.memory_bytes


def burst(reader: Reader, scanner: Sequence[str], opens: int, producers: int) -> Burst:
    """Let a reader that is ready read one burst, and end it.

    Args:
        reader: see `sensor` and `drain`.
        scanner: the command of the producers.
        opens: of all producers together.
        producers: at the same time, from 1 on.
    """
    kauditd = find_kauditd()
    pids = (reader.pid, kauditd)
    with Commands() as commands:
        wait_for_rest(commands, *pids)
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
        read = wait_for_rest(commands, *pids) - started
        spent = [cost(pid) - cost_before for pid, cost_before in zip(pids, before, strict=True)]
        lost = commands.status().lost - lost
    memory, core = resident(reader.pid), resident_in_mapping(reader.pid, core_bytes_configured())
    counted = reader.end()
    return Burst(
        reader=reader.name,
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


def pairs(  # noqa: PLR0913 - each is one number of the plan
    scanner: Sequence[str], program: str, times: int, *, opens: int, producers: int = 1, mode: str = "default"
) -> Iterator[tuple[Burst, Burst]]:
    """Yield pairs of bursts, read by the sensor and by the draining loop, each pair in the other order.

    Args:
        scanner: the command of the producers.
        program: the compiled drain.c.
        times: how many pairs.
        opens: a burst.
        producers: at the same time.
        mode: of the sensor, one of `readers.MODES`.
    """
    for turn in range(times):
        found: dict[bool, Burst] = {}
        for sensing in (True, False) if turn % 2 == 0 else (False, True):
            with sensor(mode) if sensing else drain(program) as reader:
                found[sensing] = burst(reader, scanner, opens, producers)
        yield found[True], found[False]


def cpu_ratio(found: Sequence[tuple[Burst, Burst]], *, kauditd: bool = False) -> Spread:
    """Return the CPU of the sensor (or of kauditd beside it) by that of the draining loop.

    By the opens that were made, not by the records that came: losing some makes nobody cheaper.

    Raises:
        AuditSenseError: a burst was too short to be measured.
    """
    ratios = []
    for one, other in found:
        mine, plain = (one.kauditd, other.kauditd) if kauditd else (one.cpu, other.cpu)
        if not plain.total:
            raise AuditSenseError("the burst is too short to be measured; use more opens")
        ratios.append(mine.total / plain.total)
    return Spread.of(ratios)
