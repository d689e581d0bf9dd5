"""The part that anybody can run: no privilege, no kernel audit, made input, CPU time."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from auditsense.bench.flood import Flood
from auditsense.bench.inputs import RECORDS_AN_EVENT, Shape, cold, hot, packed, write_log
from auditsense.bench.interpreter import auditsense, bare_python, python
from auditsense.bench.interpreter import program as find
from auditsense.bench.report import TIMES, Goal, Row
from auditsense.bench.timing import Spread, alternate, cpu_of, cpu_of_program
from auditsense.core.ring import Limits, Ring
from auditsense.detect.alerts import AlertPolicy
from auditsense.detect.detector import Detector
from auditsense.detect.host import Host
from auditsense.detections.compiler import compile_all
from auditsense.detections.loader import shipped_detections
from auditsense.errors import AuditSenseError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditsense.bench.progress import Progress

STEPS = 7
DEFAULT_EVENTS = 200_000
PAIRS = 5
MANY_HIT_BYTES = 1 << 23
MANY_KEYS = 1 << 17  # places for windows: all of 100,000 processes live at the same time
FLOOD_FACTOR = 5  # processes of the flood, by the events of the rest: a million
_HERE = Host("0" * 32, "bench")
_FLOOD = "from auditsense.bench.flood import main; main()"
_MIB = 1 << 20


def offline(events: int, progress: Progress) -> Iterator[Row]:
    """Yield the rows of this part.

    Args:
        events: of each input, at least 1; 200,000 take about 170 MB of memory, and of a temporary file.
        progress: is told of each step.

    Raises:
        AuditSenseError: a program that was started failed.
    """
    for name, shape in (("hot", hot(events)), ("cold", cold(events))):
        progress.step(f"the core, {name} input")
        yield from feed_rows(name, shape)
    progress.step("as many processes as you like")
    yield from pids_rows(events)
    progress.step("a flood of processes")
    yield flood_row(events * FLOOD_FACTOR)
    with tempfile.TemporaryDirectory(prefix="auditsense-bench-") as folder:
        path = Path(folder) / "audit.log"
        progress.step("writing a log")
        write_log(hot(events), path)
        progress.step("replay, and grep beside it")
        yield replay_row(path, events)
    progress.step("the start of the program")
    yield start_row()


def feed(data: bytes) -> Callable[[], object]:
    """Return what makes a detector, feeds it packed datagrams, and ends it."""

    def work() -> None:
        with Detector(host=_HERE) as detector:
            detector.feed_packed(data)
            detector.finish()

    return work


def feed_core(data: bytes) -> Callable[[], float]:
    """Return what gives the CPU time, in s, of a new core that is fed; no hit reaches Python."""
    rules = compile_all(shipped_detections(), merge_ms=AlertPolicy().suppress_ms)
    limits = Limits(key_slots=MANY_KEYS, hit_bytes=MANY_HIT_BYTES)

    def work() -> float:
        with Ring(rules, limits, seed=1) as ring:
            spent = cpu_of(lambda: ring.feed(data))
            if ring.stats().open_events:
                raise AuditSenseError("the core had no room for its hits: this is a defect of the bench")
            return spent

    return work


def feed_rows(name: str, shape: Shape) -> Iterator[Row]:
    """Yield what the core takes, by what one look at every byte of the same input takes; and its rate."""
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
    """Yield what an event costs with many live processes, by what it costs with one."""
    one = feed_core(packed(Shape(events)))
    for pids in (1_000, 100_000):
        many = feed_core(packed(Shape(events, pids=min(pids, events))))
        pairs = alternate(many, one, 3 * PAIRS)  # caches, and so neighbours, decide
        yield Row.of(
            f"pids_{pids}",
            f"{pids:,} live processes / one",
            TIMES,
            pairs.ratio,
            goal=Goal(1.5),
            note=f"room for {MANY_KEYS:,} windows",
            details={"ns_per_event": round(min(pairs.first) * 1e9 / events, 1)},
        )


def flood_row(pids: int) -> Row:
    """Return the memory after a flood of processes, by what the core said that it may take."""
    found = Flood(**json.loads(program_output(python(_FLOOD, str(pids)))))
    return Row(
        "flood_memory",
        f"memory after {pids:,} processes / configured",
        TIMES,
        found.core / found.configured,
        goal=Goal(1.0),
        note=f"{found.counted:,} events counted, {found.evicted:,} windows given up",
        details={"configured_bytes": found.configured, "core_bytes": found.core},
    )


def replay_row(path: Path, events: int) -> Row:
    """Return what `auditsense replay -o count` takes, by what `grep -c` takes; whole processes."""
    key, question = "replay", "replay -o count / grep -c, whole processes"
    grep = find("grep")
    if grep is None:
        return Row(key, question, TIMES, note="not measured: there is no grep")
    command = auditsense("replay", "-o", "count", str(path))
    counted = json.loads(program_output(command))  # and the file is in the cache
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
    """Return what starting the program and ending it takes, by what starting Python takes."""
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
    """Run a program of our own; return what it printed.

    Raises:
        AuditSenseError: it failed.
    """
    try:
        return cpu_of_program(command)[1]
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise AuditSenseError(f"{os.path.basename(command[0])} failed: {said}") from None  # noqa: PTH119 - a word
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AuditSenseError(f"a program of the bench did not work: {error}") from None
