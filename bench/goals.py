"""The six goals with their measured figures, and the reasons.

Everything is computed from the committed results, including the reasons.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Results = dict[str, dict[str, Any]]
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class GoalLine:
    """One part of a goal; `met` is None without a result."""

    goal: str
    wants: str
    measured: str = NOT_MEASURED
    spread: str = ""
    command: str = ""
    met: bool | None = None
    why: str = ""


def goals(results: Results) -> Iterator[GoalLine]:
    """Yield the lines of the table of goals."""
    for producers, words in ((1, "one producer"), (2, "two producers")):
        yield from _burst(results.get(f"burst-{producers}"), f"1 live, {words}", 1.0)
    for producers, words in ((1, "one producer"), (2, "two producers")):
        yield from _burst(results.get(f"burst-lean-{producers}"), f"2 live, lean, {words}", 0.45)
    yield from _offline(results.get("bench"))
    yield from _memory(results)
    for key, words, limit in (
        ("idle", "idle", 5),
        ("flood", "in a saturating flood of another process", 100),
    ):
        yield from _latency(results.get(f"latency-{key}"), f"6 alert, {words}", limit)


def _burst(result: dict[str, Any] | None, goal: str, limit: float) -> Iterator[GoalLine]:
    wants, lost_wants = f"CPU an event ≤ {limit:g} × the plain loop", "0 records lost by the kernel"
    if result is None:
        yield GoalLine(goal, wants)
        yield GoalLine(goal, lost_wants)
        return
    ratio = result["cpu_ratio"]
    sensed, drained = zip(*result["pairs"], strict=True)
    met = ratio["median"] <= limit
    user = statistics.median([burst["cpu"]["user"] for burst in sensed]) / result["opens"] * 1e6
    system = statistics.median([burst["cpu"]["system"] for burst in sensed]) / result["opens"] * 1e6
    loop = (
        statistics.median([burst["cpu"]["user"] + burst["cpu"]["system"] for burst in drained])
        / result["opens"]
        * 1e6
    )
    why = (
        f"an event costs the sensor {user:.2f} µs in user space and {system:.2f} µs in the kernel, "
        f"and the loop {loop:.2f} µs in total"
    )
    spread = f"{ratio['low']:.2f} to {ratio['high']:.2f} in {len(sensed)} pairs"
    yield GoalLine(goal, wants, f"{ratio['median']:.2f} ×", spread, result["command"], met, why)
    lost = [burst["lost_kernel"] for burst in sensed]
    missing = sum(result["opens"] - burst["sensor"]["matches"] for burst in sensed)
    why = f"{missing:,} of {result['opens'] * len(sensed):,} opens were not counted"
    measured = f"{sum(lost):,}"
    yield GoalLine(
        goal,
        lost_wants,
        measured,
        f"{min(lost):,} to {max(lost):,} a burst",
        result["command"],
        not sum(lost),
        why,
    )


def _rows(result: dict[str, Any] | None) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in result["rows"]} if result else {}


def _offline(result: dict[str, Any] | None) -> Iterator[GoalLine]:
    rows, command = _rows(result), result["command"] if result else ""
    for key, goal, wants, form, limit in (
        ("replay", "3 replay", "≤ 3 × `grep -c`, whole processes, 1,000,000 records", "{:.1f} ×", 3.0),
        ("rate_hot", "3 the core", "≥ 1.5 M events/s on one CPU", "{:.2f} M events/s", 1.5),
        ("pids_1000", "4 many processes", "1,000 live ≤ 1.5 × one", "{:.2f} ×", 1.5),
        ("pids_100000", "4 many processes", "100,000 live ≤ 1.5 × one", "{:.2f} ×", 1.5),
        ("flood_memory", "4 a flood", "1,000,000 processes in the configured memory", "{:.2f} of it", 1.0),
    ):
        row = rows.get(key)
        if row is None or row["value"] is None:
            yield GoalLine(goal, wants)
            continue
        met = row["value"] >= limit if key == "rate_hot" else row["value"] <= limit
        spread = "" if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}"
        yield GoalLine(goal, wants, form.format(row["value"]), spread, command, met, _why_offline(key, rows))


def _why_offline(key: str, rows: dict[str, dict[str, Any]]) -> str:
    details = rows[key]["details"]
    if key == "replay":
        start = rows["start"]["details"]["start_s"]
        return (
            f"{details['replay_s']:.2f} s against {details['grep_s']:.3f} s; {start:.2f} s of it is starting "
            "the program and ending it"
        )
    if key == "rate_hot":
        scan = rows["feed_hot"]
        return (
            f"{scan['details']['ns_per_event']:.0f} ns an event, {scan['value']:.1f} × one scan of every byte"
        )
    if key == "flood_memory":
        return f"{details['core_bytes'] / 1e6:.1f} of {details['configured_bytes'] / 1e6:.1f} MB"
    return f"{details['ns_per_event']:.0f} ns an event"


def _memory(results: Results) -> Iterator[GoalLine]:
    burst, start, counts = (results.get(name) for name in ("burst-1", "startup", "counts"))
    wants = "memory of `run` < 40 MB"
    if burst is None:
        yield GoalLine("5 memory", wants)
    else:
        sensed = [pair[0] for pair in burst["pairs"]]
        sizes = [row["resident_bytes"] / 1e6 for row in sensed]
        core = max((row["core_bytes"] or 0) for row in sensed) / 1e6
        why = f"after a burst of {burst['opens']:,} opens; of these at most {core:.1f} MB are the core's"
        spread = f"{min(sizes):.1f} to {max(sizes):.1f}"
        size = statistics.median(sizes)
        yield GoalLine("5 memory", wants, f"{size:.1f} MB", spread, burst["command"], max(sizes) < 40, why)
    wants = "no heap allocation per event"
    rows = [row for row in counts["counts"] if row["allocations"] is not None] if counts else []
    if counts is None or not rows:
        yield GoalLine("5 allocations", wants)
    else:
        most = max(row["allocations"] for row in rows)
        why = f"counted in {len(rows)} inputs, as the difference of two runs"
        yield GoalLine("5 allocations", wants, f"{most:g}", "", counts["command"], most == 0, why)
    wants = "start to first record < 0.3 s"
    if start is None:
        yield GoalLine("5 start", wants)
    else:
        took = start["record_s"]
        spread = f"{took['low']:.3f} to {took['high']:.3f} of {len(start['starts'])}"
        measured = f"{took['median']:.3f} s"
        yield GoalLine("5 start", wants, measured, spread, start["command"], took["median"] < 0.3)


def _latency(result: dict[str, Any] | None, goal: str, limit: float) -> Iterator[GoalLine]:
    wants, found_wants = f"99th percentile < {limit:g} ms after the tenth open", "found every time"
    if result is None:
        yield GoalLine(goal, wants)
        yield GoalLine(goal, found_wants)
        return
    read = result["ms"]["read"]
    yield GoalLine(
        goal,
        wants,
        f"{read['p99']:.1f} ms",
        f"median {read['median']:.1f}, most {read['max']:.1f}",
        result["command"],
        read["p99"] < limit,
    )
    alerts, trials = result["alerts"], result["trials"]
    yield GoalLine(goal, found_wants, f"{alerts} of {trials}", "", result["command"], alerts == trials)
