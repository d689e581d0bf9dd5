"""The part without privileges and kernel audit: CPU time for generated input."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.bench.flood import FloodResult
from auditsense.bench.inputs import (
    MEASURED,
    RECORDS_AN_EVENT,
    InputShape,
    cold,
    hot,
    measured_detections,
    packed,
    write_log,
)
from auditsense.bench.interpreter import auditsense, bare_python, python
from auditsense.bench.interpreter import program as find
from auditsense.bench.report import TIMES, Goal, Row
from auditsense.bench.timing import Spread, alternate, cpu_of, cpu_of_program
from auditsense.core.ring import Limits, Ring
from auditsense.detect.detector import Detector
from auditsense.detect.host import Host
from auditsense.detect.suppression import AlertPolicy
from auditsense.detections.compiler import compile_all
from auditsense.errors import AuditSenseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEFAULT_EVENTS = 200_000
PAIRS = 5
MANY_HIT_BYTES = 1 << 23
MANY_KEYS = 1 << 17  # window slots, enough for 100,000 processes
FLOOD_FACTOR = 5  # processes of the flood per event of the other inputs: a million
_HERE = Host("0" * 32, "bench")
_FLOOD = "from auditsense.bench.flood import main; main()"
_MIB = 1 << 20


def offline(events: int, notify: Callable[[str], None]) -> Iterator[Row]:
    """Yield the rows of this part.

    Args:
        events: of each input, 1 or more; 200,000 take about 170 MB of memory, and of a temporary file.
        notify: called with the name of each step.

    Raises:
        AuditSenseError: a started program failed.
    """
    for name, shape in (("hot", hot(events)), ("cold", cold(events))):
        notify(f"the core, {name} input")
        yield from feed_rows(name, shape)
    notify("many processes")
    yield from pids_rows(events)
    notify("a flood of processes")
    yield flood_row(events * FLOOD_FACTOR)
    with tempfile.TemporaryDirectory(prefix="auditsense-bench-") as folder:
        path = Path(folder) / "audit.log"
        notify("writing a log")
        write_log(hot(events), path)
        notify("replay and grep")
        yield replay_row(path, events)
    notify("the start of the program")
    yield start_row()


def feed(data: bytes) -> Callable[[], object]:
    """Return a function that creates a detector, feeds it packed datagrams, and finishes it."""

    def work() -> None:
        with Detector(measured_detections(), host=_HERE) as detector:
            detector.feed_packed(data)
            detector.finish()

    return work


def feed_core(data: bytes) -> Callable[[], float]:
    """Return a function that feeds a new core and returns its CPU time in s; no hit reaches Python."""
    rules = compile_all(measured_detections(), merge_ms=AlertPolicy().suppress_ms)
    limits = Limits(key_slots=MANY_KEYS, hit_bytes=MANY_HIT_BYTES)

    def work() -> float:
        with Ring(rules, limits, seed=1) as ring:
            spent = cpu_of(lambda: ring.feed(data))
            if ring.stats().open_events:
                raise AuditSenseError("the hit buffer is too small: this is a defect of the bench")
            return spent

    return work


def feed_rows(name: str, shape: InputShape) -> Iterator[Row]:
    """Yield the CPU time of the core relative to one scan of the same input; and its rate."""
    data = packed(shape)
    work = feed(data)
    pairs = alternate(lambda: cpu_of(work), lambda: cpu_of(lambda: data.count(b"\n")), PAIRS)
    yield Row.of(
        f"feed_{name}",
        f"the core, {name} input / a scan of the same memory",
        TIMES,
        pairs.ratio,
        note="bytes.count of one character",
        details={"ns_per_event": round(min(pairs.first) * 1e9 / shape.events, 1), "input_bytes": len(data)},
    )
    rates = Spread.of([shape.events / seconds / 1e6 for seconds in pairs.first])
    goal = Goal(1.5, at_least=True) if name == "hot" else None
    yield Row.of(f"rate_{name}", f"the core, {name} input, one CPU", "M events/s", rates, goal=goal)


def pids_rows(events: int) -> Iterator[Row]:
    """Yield the cost of an event with many live processes relative to one process."""
    single = feed_core(packed(InputShape(events)))
    for pids in (1_000, 100_000):
        many = feed_core(packed(InputShape(events, pids=min(pids, events))))
        pairs = alternate(many, single, 3 * PAIRS)  # depends on caches, and so on other processes
        yield Row.of(
            f"pids_{pids}",
            f"{pids:,} live processes / one",
            TIMES,
            pairs.ratio,
            goal=Goal(1.5),
            note=f"{MANY_KEYS:,} window slots",
            details={"ns_per_event": round(min(pairs.first) * 1e9 / events, 1)},
        )


def flood_row(pids: int) -> Row:
    """Return the memory after a flood of processes relative to the configured limit."""
    flood = FloodResult(**json.loads(program_output(python(_FLOOD, str(pids)))))
    return Row(
        "flood_memory",
        f"memory after {pids:,} processes / configured",
        TIMES,
        flood.core / flood.configured,
        goal=Goal(1.0),
        note=f"{flood.counted:,} events counted, {flood.evicted:,} windows evicted",
        details={"configured_bytes": flood.configured, "core_bytes": flood.core},
    )


def replay_row(path: Path, events: int) -> Row:
    """Return the CPU time of `auditsense replay -o count` relative to `grep -c`; whole processes."""
    key, question = "replay", "replay -o count / grep -c, whole processes"
    grep = find("grep")
    if grep is None:
        return Row(key, question, TIMES, note="not measured: there is no grep")
    command = auditsense("replay", "--only", MEASURED, "-o", "count", str(path))
    counted = json.loads(program_output(command))  # loads the file into the cache
    if counted["matches"] != events:
        raise AuditSenseError(f"replay counted {counted['matches']} of {events} events: this is a defect")
    other = (grep, "-c", "audit_proc", str(path))
    pairs = alternate(lambda: cpu_of_program(command)[0], lambda: cpu_of_program(other)[0], PAIRS)
    return Row.of(
        key,
        question,
        TIMES,
        pairs.ratio,
        goal=Goal(3.0),
        note=f"{events * RECORDS_AN_EVENT:,} records, {path.stat().st_size / 1e6:.0f} MB",
        details={
            "replay_s": round(Spread.of(pairs.first).median, 4),
            "grep_s": round(Spread.of(pairs.second).median, 4),
        },
    )


def start_row() -> Row:
    """Return the CPU time of starting and ending the program relative to Python."""
    command = auditsense("rules", "print")
    other = bare_python("-c", "")
    program_output(command)
    pairs = alternate(lambda: cpu_of_program(command)[0], lambda: cpu_of_program(other)[0], 2 * PAIRS)
    return Row.of(
        "start",
        "start of auditsense / start of Python",
        TIMES,
        pairs.ratio,
        note="auditsense rules print; python -c ''",
        details={"start_s": round(Spread.of(pairs.first).median, 4)},
    )


def program_output(command: list[str] | tuple[str, ...]) -> bytes:
    """Run a program of auditsense; return its output.

    Raises:
        AuditSenseError: it failed.
    """
    try:
        return cpu_of_program(command)[1]
    except subprocess.CalledProcessError as error:
        message = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise AuditSenseError(f"{Path(command[0]).name} failed: {message}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AuditSenseError(f"a program of the bench failed: {error}") from None
