"""The part with this machine's kernel audit: bounded, exclusive, and restored afterwards.

The audit rule matches only our processes, of the user 65534. No process ever waits for the sensor. Nothing is
locked and nothing can panic: see `sources.unicast`.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from auditsense.bench import latency
from auditsense.bench.audit_lock import exclusive_audit
from auditsense.bench.burst import BurstResult, core_bytes_configured, cpu_ratio, pairs
from auditsense.bench.c_helpers import DRAIN, NO_COMPILER, SCANNER, compiled, compiler
from auditsense.bench.consumers import has_mode
from auditsense.bench.report import TIMES, Goal, Row
from auditsense.bench.startup import startup
from auditsense.bench.timing import Spread, percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_MIB: Final = 1 << 20
_PERIOD_US: Final = 5_000
_TRIALS_OF_A_PERCENTILE: Final = 100  # with fewer, the 99th percentile is the maximum
_GOALS: Final = {"default": Goal(1.0), "lean": Goal(0.45)}


@dataclass(frozen=True, slots=True)
class LivePlan:
    """Amount of work: enough for figures by default.

    Attributes:
        opens: per burst.
        pairs: of bursts, sensor and drain loop.
        trials: of the latency, idle and flooded each.
        starts: of the sensor.
    """

    opens: int = 200_000
    pairs: int = 5
    trials: int = 50
    starts: int = 5


def live(plan: LivePlan, notify: Callable[[str], None]) -> Iterator[Row]:
    """Yield the rows of this part, holding the lock of live runs.

    Raises:
        NoKernelAuditError: the kernel's audit is unavailable; nothing was done.
        AuditSenseError: a step failed, or the host was not restored.
    """
    if compiler() is None:
        yield from (
            Row(key, question, unit, note=f"not measured: {NO_COMPILER}") for key, question, unit in _ALL
        )
        return
    with tempfile.TemporaryDirectory(prefix="auditsense-bench-") as name, exclusive_audit(notify):
        folder = Path(name)
        folder.chmod(0o711)  # the loads drop root, and then look themselves up
        scanner, drain = (compiled(SCANNER, folder),), compiled(DRAIN, folder)
        for producers in (1, 2):
            notify(f"bursts by {_words(producers)}, sensor and loop alternating")
            results = list(pairs(scanner, drain, plan.pairs, opens=plan.opens, producers=producers))
            yield from burst_rows(results, f"{producers}", _words(producers))
        if has_mode("lean"):
            notify("bursts, with a filter in the kernel")
            results = list(pairs(scanner, drain, plan.pairs, opens=plan.opens, mode="lean"))
            yield from burst_rows(results, "lean", "one producer, --lean", _GOALS["lean"])
        else:
            yield Row(
                "live_cpu_lean", "sensor --lean / plain loop", TIMES, note="not measured: no --lean here"
            )
        notify("from the tenth open to the alert")
        yield from latency_rows(
            list(latency.trials(scanner, plan.trials, period_us=_PERIOD_US)), flooded=False
        )
        notify("the same while another process floods")
        flooded = latency.trials(scanner, plan.trials, period_us=_PERIOD_US, flooded=True)
        yield from latency_rows(list(flooded), flooded=True)
        notify("the start of the sensor")
        yield from startup_rows(scanner, plan.starts)


_ALL: Final = (
    ("live_cpu_1", "sensor / plain loop, CPU an event, one producer", TIMES),
    ("live_cpu_2", "sensor / plain loop, CPU an event, two producers", TIMES),
    ("live_cpu_lean", "sensor --lean / plain loop", TIMES),
    ("latency_idle", "tenth open to alert, maximum", "ms"),
    ("latency_flood", "tenth open to alert in a flood, maximum", "ms"),
    ("start_to_record", "start of the sensor to its first record", "s"),
)


def _words(producers: int) -> str:
    return "one producer" if producers == 1 else "two producers"


def burst_rows(
    results: Sequence[tuple[BurstResult, BurstResult]], key: str, words: str, goal: Goal = _GOALS["default"]
) -> Iterator[Row]:
    """Yield CPU time, losses and memory of pairs of bursts."""
    sensed, drained = [sensor for sensor, _ in results], [loop for _, loop in results]

    def median(bursts: Sequence[BurstResult], figure: Callable[[BurstResult], float]) -> float:
        return round(Spread.of([figure(burst) for burst in bursts]).median, 3)

    yield Row.of(
        f"live_cpu_{key}",
        f"sensor / plain loop, CPU an event, {words}",
        TIMES,
        cpu_ratio(results),
        goal=goal,
        note=f"{len(results)} pairs of {sensed[0].opens:,} opens",
        details={
            "sensor_us_per_event": median(sensed, lambda burst: burst.cpu.total / burst.opens * 1e6),
            "loop_us_per_event": median(drained, lambda burst: burst.cpu.total / burst.opens * 1e6),
            "kauditd_ratio": round(cpu_ratio(results, kauditd=True).median, 3),
            "opens_per_s": median(sensed, lambda burst: burst.opens_s),
            "opens_per_s_loop": median(drained, lambda burst: burst.opens_s),
        },
    )
    lost = [float(burst.lost_kernel) for burst in sensed]
    yield Row(
        f"live_lost_{key}",
        f"records the kernel lost, {words}, all bursts",
        "",
        sum(lost),
        min(lost),
        max(lost),
        goal=Goal(0),
        samples=tuple(lost),
        details={
            "opens_not_counted": sum(burst.missing or 0 for burst in sensed),
            "lost_with_the_loop": sum(burst.lost_kernel for burst in drained),
        },
    )
    if key == "1":
        core = [burst.core_bytes for burst in sensed if burst.core_bytes is not None]
        yield Row.of(
            "memory_run",
            "memory of the sensor after a burst",
            "MiB",
            Spread.of([burst.resident_bytes / _MIB for burst in sensed]),
            goal=Goal(40e6 / _MIB),
            details={
                "core_mib": round(max(core, default=0) / _MIB, 2),
                "core_configured_mib": round(core_bytes_configured() / _MIB, 2),
            },
        )


def latency_rows(trials: Sequence[latency.LatencyTrial | None], *, flooded: bool) -> Iterator[Row]:
    """Yield the latency of alerts, and their number."""
    key, words = ("flood", " in a flood") if flooded else ("idle", "")
    alerts = [trial for trial in trials if trial is not None]
    times_ms = [trial.read / 1e6 for trial in alerts if not trial.is_clock_error]
    clock_errors = len(alerts) - len(times_ms)
    note = f"{len(times_ms)} trials"
    if clock_errors:
        note += f", {clock_errors} more with a clock error: the clock was read after the alert"
    is_maximum = len(times_ms) < _TRIALS_OF_A_PERCENTILE
    question = f"tenth open to alert{words}, {'maximum' if is_maximum else '99th percentile'}"
    if times_ms:
        yield Row(
            f"latency_{key}",
            question,
            "ms",
            max(times_ms) if is_maximum else percentile(times_ms, 99),
            min(times_ms),
            max(times_ms),
            goal=Goal(100 if flooded else 5),
            note=note,
            details={"median_ms": round(percentile(times_ms, 50), 3), "clock_errors": clock_errors},
            samples=tuple(round(time_ms, 3) for time_ms in times_ms),
        )
    else:
        yield Row(f"latency_{key}", question, "ms", note=f"not measured: {note}")
    yield Row(
        f"latency_found_{key}",
        f"alerts that came{words}, of one",
        "",
        len(alerts) / len(trials),
        goal=Goal(1, at_least=True),
        note=f"{len(alerts)} of {len(trials)}",
    )


def startup_rows(scanner: Sequence[str], times: int) -> Iterator[Row]:
    """Yield the time from the start of the sensor to its first record."""
    starts = [startup(scanner) for _ in range(times)]
    yield Row.of(
        "start_to_record",
        "start of the sensor to its first record",
        "s",
        Spread.of([start.record_s for start in starts]),
        goal=Goal(0.3),
        note=f"{times} starts",
        details={"memory_mib": round(Spread.of([start.resident_bytes / _MIB for start in starts]).median, 1)},
    )
