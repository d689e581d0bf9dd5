"""Write docs/performance.md from the committed results; `python bench/write_docs.py`, or measure.py does.

Nothing is measured here, and nothing in the page is written by hand except the words below:
tests/test_bench_docs.py compares the committed page with what this makes of the committed results.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.goals import Results, goals
else:
    from goals import Results, goals

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
BUSY = RESULTS / "busy"
"""The goals' results of another machine, kept as they were measured; `measure.py` does not write there."""
PAGE = HERE.parent / "docs" / "performance.md"
_METS = {None: "", True: "**met**", False: "**missed**"}

HEAD = """# Performance

Written by `bench/write_docs.py` from `bench/results/*.json`; do not edit. Measure again with one command:
`python bench/measure.py` (about 20 minutes, as root), or look at your own machine with `auditsense bench`.
"""

METHOD = """## Method

- **Ratios first.** Each figure that matters is set against the least that the same machine can do for the
  same input in the same minute: a loop that drains the socket and throws away, one look at every byte of
  memory, `grep -c`. The two run in turns, each pair in the other order; the figure is the median of the
  pairs' ratios, and the spread is that of the single pairs.
- **CPU time, not wall time**, of whole processes (getrusage, /proc/PID/stat) or of one call
  (CLOCK_PROCESS_CPUTIME_ID). Latency and the start are wall time: that is what they are about.
- **Made input.** `auditsense.bench.inputs` makes the same bytes from the same seed: events of five records
  (SYSCALL, CWD, PATH, PROCTITLE, EOE) as kernel 6.18 sends them. *Hot*: one process, one stamp, all tables
  in the cache. *Cold*: 20,000 processes, 5,000 programs, four interleaved producers, other events among them.
- **A stage that cannot be called alone is isolated by its input**: each file in bench/ says how.
- **Counts beside times.** Instructions (callgrind) and allocations (a counting malloc) do not depend on who
  else uses the machine. Both are differences of two runs, of N and of 2 N events.
- **The live figures** come from bursts of opens of /proc by a process of the user 65534, with an audit rule
  that sees only that user; the sensor runs as `auditsense run` with everything on (its guardian, its
  watch over the kernel's settings), the loop owns the socket with the same settings and the same buffer.
"""

UNFAIR = """## What is unfair

To us:
- The draining loop does nothing with what it reads. No sensor can do that; it is the reference all the same.
- `grep -c` looks for one word in lines. It puts no event together and does not know which lines belong
  to one process.
- A whole process of ours starts a Python interpreter; that is fixed, and weighs more the shorter the
  input is.

To the peers:
- No two do the same. `ausearch` and `laurel` print every event, `libauparse` can look at any field, we count.
  Each was given the least work that still means putting events together; what each did is in the table.
- The versions are Debian 12's (audit 3.0.9, laurel 0.5.1), not the newest; go-libaudit is 2.6.2.
- The log has an open every millisecond. With the 50 a millisecond that a scanner makes, `ausearch` takes ten
  times as long for 10,000 events, and more the more there are; that log was not used.
- One made log, of one kind of event: the one that we are built for. A log full of other events is cheaper
  for us still, and may be for them.
- auditd on a live kernel ran in the foreground (`-n`), and wrote its log or had one plugin that only counts.

To the reader:
- One virtual machine with two CPUs that others used at the same time. Ratios hold better than seconds.
- CPU time in /proc/PID/stat comes in ticks of 10 ms; a burst of 200,000 opens takes some 0.6 to 1.6 s.
"""


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: int = 0) -> str:
    """Return a table; the last *right* columns are numbers."""
    marks = ["---"] * (len(head) - right) + ["--:"] * right
    lines = [head, tuple(marks), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page(results: Results, busy: Results) -> str:
    """Return the whole page; *busy*: of another machine."""
    parts = [HEAD, _goals(results), _elsewhere(busy), _machine(results), METHOD]
    makers = (("core", _core), ("counts", _counts), ("peers", _peers), ("events", _events), ("loops", _loops))
    parts += [make(results[name]) for name, make in makers if name in results]
    parts.append(_adversarial(results))
    parts += [_live(results), _auditd(results), _spent(results), UNFAIR, _limit(results)]
    return "\n".join(part for part in parts if part)


def _goals(results: Results) -> str:
    rows = []
    for line in goals(results):
        why = f"{_METS[line.met]}{': ' if line.met is not None and line.why else ''}{line.why}"
        command = f"`{line.command}`" if line.command else ""
        rows.append((line.goal, line.wants, line.measured, line.spread, why, command))
    head = ("goal", "wants", "measured", "spread", "", "command")
    return "## The six goals\n\n" + table(head, rows)


def _elsewhere(busy: Results) -> str:
    if not busy:
        return ""
    rows = [
        (line.goal, line.wants, line.measured, line.spread, _METS[line.met])
        for line in goals(busy)
        if line.met is not None
    ]
    words = (
        "Ratios do not hold everywhere. The same commands with the version of four days before (it asked "
        "who sent each datagram, ADR 23), on a virtual machine of the same kind whose host was slower and "
        "busy:\n\n"
    )
    head = ("goal", "wants", "measured", "spread", "")
    return "## The same goals in a busy hour\n\n" + words + table(head, rows)


def _machine(results: Results) -> str:
    places = {name: figures["machine"] for name, figures in sorted(results.items())}
    if not places:
        return ""
    rows = [
        (name, f"{one['cpus']} × {one['cpu']}", one["kernel"], one["python"], f"{one['load_average']}")
        for name, one in places.items()
    ]
    head = ("result", "CPUs", "kernel", "Python", "load average after it")
    return "## Machine\n\n" + table(head, rows, right=1)


def _core(figures: dict[str, Any]) -> str:
    rows = []
    for one in figures["rows"]:
        if one["ns_per_event"] is None:
            continue
        middle = one["median_s"] / one["events"] * 1e9
        rows.append((one["name"], f"{one['ns_per_event']:,.0f}", f"{middle:,.0f}", f"{one['rounds']}"))
    head = ("bench", "ns an event, least", "median", "rounds")
    return f"## The core, stage by stage\n\n`{figures['command']}`\n\n" + table(head, rows, right=3)


def _counts(figures: dict[str, Any]) -> str:
    def cell(value: float | None) -> str:
        return "not measured" if value is None else f"{value:,.0f}"

    rows = [
        (one["name"], one["form"], cell(one["instructions"]), cell(one["allocations"]))
        for one in figures["counts"]
    ]
    head = ("an event", "form", "instructions", "allocations")
    return f"## Counts\n\n`{figures['command']}`\n\n" + table(head, rows, right=2)


def _adversarial(results: Results) -> str:
    found, older = (results.get(name) for name in ("adversarial", "adversarial-before"))
    if found is None:
        return ""
    before = {row["name"]: row["ratio"] for row in older["rows"]} if older else {}
    most = found["most"]
    rows = [
        (
            one["name"],
            f"{one['ns']:,.0f}",
            f"{one['ordinary_ns']:,.0f}",
            f"{one['ratio'] * one['each']:,.1f}",
            f"{one['ratio']:.1f}" if one["ratio"] <= most else f"**{one['ratio']:.1f}**",
            f"{before[one['name']]:.1f}" if one["name"] in before else "",
        )
        for one in sorted(found["rows"], key=lambda row: -row["ratio"])
    ]
    over = sum(one["ratio"] > most for one in found["rows"])
    limit = f"more than {most:g} times the ordinary one"
    words = (
        f"`{found['command']}`: the least CPU time of a record, by that of an ordinary record to the same "
        "core. A record longer than an ordinary one counts as many as would take its place. `whole`: the "
        "same for a record of the input, however long it is. `before`: the "
        f"ratio with the version of 2026-11-29. **{over or 'No'} input{'s make' if over > 1 else ' makes'} a "
        f"record cost {limit}.**\n\n"
    )
    head = ("a record of", "ns", "ordinary, ns", "whole", "ratio", "before")
    return "## Hostile input\n\n" + words + table(head, rows, right=5)


def _peers(figures: dict[str, Any]) -> str:
    rows = []
    for one in figures["peers"]:
        cpu = one["cpu_s"]
        spread = f"{cpu['low']:.3f} to {cpu['high']:.3f}"
        rate = f"{figures['events'] / cpu['median']:,.0f}"
        rows.append((one["name"], one["does"], f"{cpu['median']:.3f}", spread, f"{one['ratio']:.1f}", rate))
    rows += [(name, f"skipped: {why}", "", "", "", "") for name, why in figures["skipped"].items()]
    head = ("", "does", "CPU s", "spread", "× grep", "events/s")
    words = f"{figures['events']:,} events, {figures['bytes'] / 1e6:.0f} MB, {figures['rounds']} rounds"
    return f"## Peers, the same log\n\n`{figures['command']}`: {words}.\n\n" + table(head, rows, right=4)


def _events(figures: dict[str, Any]) -> str:
    rows = []
    for one in figures["rows"]:
        cpu, ratio = one["cpu_s"], one["ratio"]
        rows.append(
            (
                one["name"],
                f"{cpu['median']:.3f}",
                f"{cpu['low']:.3f} to {cpu['high']:.3f}",
                f"{cpu['median'] / figures['events'] * 1e6:.2f}",
                f"{one['start_s']['median']:.3f}",
                f"{ratio['median']:.2f}",
                f"{ratio['low']:.2f} to {ratio['high']:.2f}",
            )
        )
    head = ("", "CPU s", "spread", "µs an event", "of CPU s, the start", "× rows", "spread of it")
    words = (
        f"`{figures['command']}`: pid, exe and path of {figures['events']:,} events, "
        f"{figures['bytes'] / 1e6:.0f} MB, each reader a process; {figures['turns']} turns.\n\n"
    )
    return "## Three fields of every event\n\n" + words + table(head, rows, right=6)


def _loops(figures: dict[str, Any]) -> str:
    rows = []
    for one in figures["rows"]:
        ratio = one["ratio"]
        spread = f"{ratio['low']:.2f} to {ratio['high']:.2f}"
        cells = (f"{one['us']:.2f}", f"{one['core_us']:.2f}", f"{ratio['median']:.2f}", spread)
        rows.append((one["name"], *cells, f"{figures['found'][one['name']]:,}"))
    head = ("", "µs an event", "the core beside it", "× core", "spread", "found")
    words = (
        f"`{figures['command']}`: {figures['events']:,} events in memory, {figures['batch_events']} a turn, "
        f"{figures['pairs']} pairs. All but `feed_packed` pack single datagrams, which no sensor on the "
        f"kernel's socket does. For these {figures['hits']:,} hits are looked at: in a turn one of each "
        "process whose window is complete. Of events and rows three fields are read.\n\n"
    )
    return "## The Python around the core\n\n" + words + table(head, rows, right=5)


def _live(results: Results) -> str:
    rows = []
    for name in ("burst-1", "burst-2", "burst-lean-1", "burst-lean-2"):
        if name not in results:
            continue
        rows += [_live_row(name, side) for side in zip(*results[name]["pairs"], strict=True)]
    if not rows:
        return ""
    head = ("result", "reader", "user s", "system s", "kauditd s", "opens/s", "records/s", "lost")
    words = "Medians of the bursts of each side; `lost` is what the kernel lost in all of them.\n\n"
    return "## Live bursts\n\n" + words + table(head, rows, right=6)


def _auditd(results: Results) -> str:
    rows = []
    for name in ("auditd-1", "auditd-2"):
        found = results.get(name)
        if found is None:
            continue
        for reader in dict.fromkeys(one["reader"] for one in found["rows"]):
            bursts = [one for one in found["rows"] if one["reader"] == reader]
            unseen = [one["unseen"] / one["opens"] for one in bursts]
            cpu = [one["cpu"]["user"] + one["cpu"]["system"] for one in bursts]
            rows.append(
                (
                    f"{found['producers']}",
                    reader,
                    f"{100 * statistics.median(unseen):.1f} %",
                    f"{100 * min(unseen):.1f} to {100 * max(unseen):.1f} %",
                    f"{sum(one['lost_kernel'] for one in bursts):,}",
                    f"{statistics.median(cpu):.2f}",
                    f"{statistics.median(one['opens_s'] for one in bursts):,.0f}",
                )
            )
    if not rows:
        return ""
    head = ("producers", "reader", "opens not seen", "spread", "kernel lost", "CPU s", "opens/s")
    first = next(results[name] for name in ("auditd-1", "auditd-2") if name in results)
    words = (
        f"`{first['command']}`: bursts of {first['opens']:,} opens, read by auditd 3.0.9 of Debian 12 "
        "and by the sensor in turns, with the same kernel settings; medians. `kernel lost` is in "
        "records, of all bursts.\n\n"
    )
    return "## Beside auditd\n\n" + words + table(head, rows, right=5)


def _spent(results: Results) -> str:
    text = ""
    rows = []
    for name in ("spent-1", "spent-2"):
        found = results.get(name)
        if found is None:
            continue
        sides = {one["reader"]: one for one in found["rows"]}
        head = f"{found['producers']} producer{'s' if found['producers'] > 1 else ''}"
        rows.append(
            (f"**{head}, in all**", *(f"{sides[side]['cpu_us']:.2f}" for side in ("sensor", "drain")))
        )
        rows += [
            (part, *(f"{sides[side]['parts_us'][part]:.2f}" for side in ("sensor", "drain")))
            for part in sides["sensor"]["parts_us"]
        ]
    if rows:
        text += "### Live\n\n`python bench/live/spent.py`, perf over one burst each, µs of CPU an event.\n\n"
        text += table(("", "sensor", "draining loop"), rows, right=2) + "\n"
    found = results.get("replay-spent")
    if found is not None:
        steps = found["steps"]
        rows = [
            (step, f"{one['median'] * 1e3:.0f}", f"{one['low'] * 1e3:.0f} to {one['high'] * 1e3:.0f}")
            for step, one in steps.items()
        ]
        text += f"### Replay\n\n`{found['command']}`: whole processes, ms of CPU, medians.\n\n"
        text += table(("", "ms", "spread"), rows, right=2)
        if found["objects"]:
            words = ", ".join(f"{share * 100:.0f} % {kind}" for kind, share in found["objects"].items())
            text += f"\nOf the samples of the last (perf, by what they were in): {words}.\n"
    return f"## Where the CPU goes\n\n{text}" if text else ""


def _live_row(name: str, side: tuple[dict[str, Any], ...]) -> tuple[str, ...]:
    def middle(values: Iterator[float]) -> float:
        ordered = sorted(values)
        return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2

    return (
        name,
        side[0]["reader"],
        f"{middle(one['cpu']['user'] for one in side):.2f}",
        f"{middle(one['cpu']['system'] for one in side):.2f}",
        f"{middle(one['kauditd']['user'] + one['kauditd']['system'] for one in side):.2f}",
        f"{middle(one['opens_s'] for one in side):,.0f}",
        f"{middle(one['records_s'] for one in side):,.0f}",
        f"{sum(one['lost_kernel'] for one in side):,}",
    )


def _limit(results: Results) -> str:
    rows = {row["key"]: row for row in results.get("bench", {}).get("rows", ())}
    lines = []
    if "feed_hot" in rows:
        hot, cold = rows["feed_hot"], rows["feed_cold"]
        floor = hot["details"]["ns_per_event"] / hot["value"]
        lines.append(
            f"- **The core**: one look at every byte of an event takes about {floor:.0f} ns; "
            f"the core takes {hot['value']:.1f} times that (cold: {cold['value']:.1f}). Whoever reads every "
            "byte cannot be below 1; whoever knows which bytes not to read can.\n"
        )
    if "replay" in rows and "start" in rows:
        details, start = rows["replay"]["details"], rows["start"]["details"]["start_s"]
        rest = details["replay_s"] - start
        lines.append(
            f"- **Replay**: {start:.2f} s of {details['replay_s']:.2f} s are the start and the end of the "
            f"program; the {rest:.2f} s that remain are {rest / details['grep_s']:.1f} × `grep -c`.\n"
        )
    if "pids_100000" in rows and "pids_1000" in rows:
        more = rows["pids_100000"]["details"]["ns_per_event"] - rows["pids_1000"]["details"]["ns_per_event"]
        lines.append(
            f"- **Many processes**: with 100,000 an event takes {more:.0f} ns more than with 1,000. perf "
            "finds nearly all of it in two loads, one after the other, of what is in no cache: a process's "
            "bucket, and its window (docs/adr/0024).\n"
        )
    if "burst-1" in results:
        lines.append(_live_limit(results["burst-1"]))
    return "## What the limit is, and how far away we are\n\n" + "".join(lines) if lines else ""


def _live_limit(found: dict[str, Any]) -> str:
    sensed, drained = zip(*found["pairs"], strict=True)
    user = sum(one["cpu"]["user"] for one in sensed) / sum(one["opens"] for one in sensed) * 1e6
    calls = sum(one["cpu"]["system"] for one in sensed) / sum(one["opens"] for one in sensed) * 1e6
    loop = sum(one["cpu"]["user"] + one["cpu"]["system"] for one in drained)
    loop = loop / sum(one["opens"] for one in drained) * 1e6
    return (
        f"- **Live**: the kernel's side of reading costs the sensor {calls:.1f} µs an event, its own work "
        f"{user:.1f} µs; the loop, which is woken up for whatever has come, {loop:.1f} µs. Only fewer "
        "wake-ups, fewer records, or less asked of each can take the sum below the loop's.\n"
    )


def load(folder: Path = RESULTS) -> Results:
    """Return the committed results of a folder by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def write() -> None:
    """Write the page."""
    PAGE.write_text(page(load(), load(BUSY)), encoding="utf-8")


if __name__ == "__main__":
    write()
