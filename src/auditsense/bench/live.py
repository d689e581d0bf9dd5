"""The part on this machine's kernel: bounded, one at a time, everything put back.

The audit rule sees only processes of the user 65534, which are ours; no process ever waits for the
sensor; nothing is locked and nothing can panic: see `sources.unicast`.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.bench import latency
from auditsense.bench.audit_lock import turn
from auditsense.bench.burst import Burst, core_bytes_configured, cpu_ratio, pairs
from auditsense.bench.c_helpers import DRAIN, NO_COMPILER, SCANNER, compiled, compiler
from auditsense.bench.consumers import has_mode
from auditsense.bench.report import TIMES, Goal, Row
from auditsense.bench.startup import startup
from auditsense.bench.timing import Spread, percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from auditsense.bench.progress import Progress

STEPS: Final = 6
_MIB: Final = 1 << 20
_PERIOD_US: Final = 5_000
_GOALS: Final = {"default": Goal(1.0), "lean": Goal(0.45)}


class Plan:
    """How much of each: enough for a figure, or enough to see that it works.

    Attributes:
        opens: of a burst.
        pairs: of bursts, sensor and draining loop.
        trials: of the latency, idle and flooded each.
        starts: of the sensor.
    """

    def __init__(self, opens: int = 200_000, pairs: int = 3, trials: int = 50, starts: int = 5) -> None:
        self.opens = opens
        self.pairs = pairs
        self.trials = trials
        self.starts = starts


def live(plan: Plan, progress: Progress) -> Iterator[Row]:
    """Yield the rows of this part; hold the lock of live runs meanwhile.

    Raises:
        NoKernelAuditError: the kernel's audit is not to be had; nothing was done.
        AuditSenseError: something did not work, or the host is not as it was.
    """
    if compiler() is None:
        yield from (
            Row(key, question, unit, note=f"not measured: {NO_COMPILER}") for key, question, unit in _ALL
        )
        return
    with tempfile.TemporaryDirectory(prefix="auditsense-bench-") as name, turn(progress.note):
        folder = Path(name)
        folder.chmod(0o711)  # the loads give up root, and then look themselves up
        scanner, drain = (compiled(SCANNER, folder),), compiled(DRAIN, folder)
        for producers in (1, 2):
            progress.step(f"bursts by {producers} process{'es' * (producers > 1)}, read in turns")
            found = list(pairs(scanner, drain, plan.pairs, opens=plan.opens, producers=producers))
            yield from burst_rows(found, f"{producers}", _words(producers))
        if has_mode("lean"):
            progress.step("bursts, with a filter in the kernel")
            found = list(pairs(scanner, drain, plan.pairs, opens=plan.opens, mode="lean"))
            yield from burst_rows(found, "lean", "one producer, --lean", _GOALS["lean"])
        else:
            yield Row(
                "live_cpu_lean", "sensor --lean / plain loop", TIMES, note="not measured: no --lean here"
            )
        progress.step("from the tenth open to the alert")
        yield from latency_rows(
            list(latency.trials(scanner, plan.trials, period_us=_PERIOD_US)), flooded=False
        )
        progress.step("the same while another process floods")
        flooded = latency.trials(scanner, plan.trials, period_us=_PERIOD_US, flooded=True)
        yield from latency_rows(list(flooded), flooded=True)
        progress.step("the start of the sensor")
        yield from startup_rows(scanner, plan.starts)


_ALL: Final = (
    ("live_cpu_1", "sensor / plain loop, CPU an event, one producer", TIMES),
    ("live_cpu_2", "sensor / plain loop, CPU an event, two producers", TIMES),
    ("live_cpu_lean", "sensor --lean / plain loop", TIMES),
    ("latency_idle", "tenth open to alert, 99th percentile", "ms"),
    ("latency_flood", "tenth open to alert in a flood, 99th percentile", "ms"),
    ("start_to_record", "start of the sensor to its first record", "s"),
)


def _words(producers: int) -> str:
    return "one producer" if producers == 1 else "two producers"


def burst_rows(
    found: Sequence[tuple[Burst, Burst]], key: str, words: str, goal: Goal = _GOALS["default"]
) -> Iterator[Row]:
    """Yield what pairs of bursts say: the CPU, what was lost, and the memory afterwards."""
    sensed, drained = [one for one, _ in found], [other for _, other in found]

    def middle(bursts: Sequence[Burst], of: Callable[[Burst], float]) -> float:
        return round(Spread.of([of(one) for one in bursts]).median, 3)

    yield Row.of(
        f"live_cpu_{key}",
        f"sensor / plain loop, CPU an event, {words}",
        TIMES,
        cpu_ratio(found),
        goal=goal,
        note=f"{len(found)} pairs of {sensed[0].opens:,} opens",
        details={
            "sensor_us_per_event": middle(sensed, lambda one: one.cpu.total / one.opens * 1e6),
            "loop_us_per_event": middle(drained, lambda one: one.cpu.total / one.opens * 1e6),
            "kauditd_ratio": round(cpu_ratio(found, kauditd=True).median, 3),
            "opens_per_s": middle(sensed, lambda one: one.opens_s),
            "opens_per_s_loop": middle(drained, lambda one: one.opens_s),
        },
    )
    lost = [float(one.lost_kernel) for one in sensed]
    yield Row(
        f"live_lost_{key}",
        f"records the kernel lost, {words}, all bursts",
        "",
        sum(lost),
        min(lost),
        max(lost),
        goal=Goal(0),
        details={
            "opens_not_counted": sum(one.missing or 0 for one in sensed),
            "lost_with_the_loop": sum(one.lost_kernel for one in drained),
        },
    )
    if key == "1":
        core = [one.core_bytes for one in sensed if one.core_bytes is not None]
        yield Row.of(
            "memory_run",
            "memory of the sensor after a burst",
            "MiB",
            Spread.of([one.resident_bytes / _MIB for one in sensed]),
            goal=Goal(40e6 / _MIB),
            details={
                "core_mib": round(max(core, default=0) / _MIB, 2),
                "core_configured_mib": round(core_bytes_configured() / _MIB, 2),
            },
        )


def latency_rows(trials: Sequence[latency.Trial | None], *, flooded: bool) -> Iterator[Row]:
    """Yield how long alerts took to be read, and how many came."""
    key, words = ("flood", " in a flood") if flooded else ("idle", "")
    took = [one.read / 1e6 for one in trials if one is not None]
    if took:
        yield Row(
            f"latency_{key}",
            f"tenth open to alert{words}, 99th percentile",
            "ms",
            percentile(took, 99),
            min(took),
            max(took),
            goal=Goal(100 if flooded else 5),
            note=f"{len(trials)} trials",
            details={"median_ms": round(percentile(took, 50), 3)},
            samples=tuple(round(one, 3) for one in took),
        )
    yield Row(
        f"latency_found_{key}",
        f"alerts that came{words}, of one",
        "",
        len(took) / len(trials),
        goal=Goal(1, at_least=True),
        note=f"{len(took)} of {len(trials)}",
    )


def startup_rows(scanner: Sequence[str], times: int) -> Iterator[Row]:
    """Yield how long the sensor takes to its first record."""
    found = [startup(scanner) for _ in range(times)]
    yield Row.of(
        "start_to_record",
        "start of the sensor to its first record",
        "s",
        Spread.of([one.record_s for one in found]),
        goal=Goal(0.3),
        note=f"{times} starts",
        details={"memory_mib": round(Spread.of([one.resident_bytes / _MIB for one in found]).median, 1)},
    )
