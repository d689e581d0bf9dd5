"""Write docs/performance.md and docs/plots/ from the committed results.

Usage: python bench/write_docs.py; measure.py does it too. Measures nothing. Only the text below is written by
hand; tests/bench/test_docs.py compares the committed page with the output for the committed results.
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditsense.bench.calls import CALLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench import plots
    from bench.goals import Results, goals
else:
    import plots
    from goals import Results, goals

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
BUSY = RESULTS / "busy"
"""Results of the goals on another machine; `measure.py` does not write there."""
PAGE = HERE.parent / "docs" / "performance.md"
_METS = {None: "", True: "**met**", False: "**missed**"}

HEAD = """<!-- Written by bench/write_docs.py from bench/results/*.json; do not edit. -->

# Performance

[Measure your own machine](how-to/measure.md). `python bench/measure.py` repeats everything on this page
(about 20 minutes, as root).
"""

METHOD = """## Method

- **Ratios first.** Each important figure is relative to the least work of the same machine for the same input
  in the same minute: a loop that drains the socket and discards the records, one scan of all memory,
  or `grep -c`. Both run alternately. The figure is the median of the ratios of all pairs, and the spread is
  that of single pairs.
- **CPU time, not wall time**, of whole processes (getrusage, /proc/PID/stat) or of one call
  (CLOCK_PROCESS_CPUTIME_ID). Latency and start are wall time.
- **Generated input.** `auditsense.bench.inputs` generates the same bytes from the same seed: events of five
  records (SYSCALL, CWD, PATH, PROCTITLE, EOE) as kernel 6.18 sends them. *Hot*: one process, one stamp, all
  tables in the cache. *Cold*: 20,000 processes, 5,000 programs, four interleaved producers, mixed with other
  events.
- **The input isolates a stage** that cannot be called alone: each file in bench/ describes how.
- **Counts and times.** Instructions (callgrind) and allocations (a counting malloc) do not depend on the load
  of the machine. Both are differences of two runs, of N and of 2 N events.
- **Live figures** come from bursts of opens of /proc by a process of the user 65534, with an audit rule for
  that user only. The sensor runs as `auditsense run --only pspy`, with its guardian and its watch over the
  kernel's settings. With all shipped detections, an event cost 0.90 (0.82 to 0.98) × the loop in two pairs of
  bench/live/burst.py without `--only` on 2026-11-30. The loop owns the socket with the same settings and the
  same buffer.
"""

OTHERS = {
    "bench/live/arguments.py": "every argument of 10,000 execs, compared with what was executed",
    "bench/detections.py --rules FOLDER": "cost of an event with many detections, relative to one (ADR 31)",
    "bench/live/compiling.py --rules FOLDER": "losses, records a second and CPU while a program is compiled",
    "bench/live/records.py": "records a second by the rules of run, by -w /proc/ -p r, and without rules",
    "bench/delivery.py": "documents lost and repeated when parts of the delivery are killed (ADR 29)",
    "bench/power_cut.py": "documents missing after power cuts (ADR 29)",
    "bench/fleet.py": "50 hosts and one receiver: latency, memory, and an hour's outage (ADR 33)",
    "bench/sinks.py --spool": "cost of a document in each sink, and in a spool relative to a file",
    "bench/embedding.py": "64 detectors at once, and 10,000 lives of one",
    "bench/live/fanotify.py": "what fanotify sees of scans of /proc, next to audit (ADR 37)",
    "bench/live/versions.py --baseline PYTHON": "start, memory and latency next to another version (ADR 39)",
    "bench/live/cycles.py": "settings, memory and descriptors over many lives of a sensor",
    "bench/live/soak.py": "memory, descriptors and losses over hours",
}
"""Benches without figures on the page: command and purpose."""

UNFAIR = """## What is unfair

To us:
- The drain loop does nothing with the records. No sensor can do that, but it is the reference.
- `grep -c` searches lines for one word. It reassembles no events, and does not know which lines belong to one
  process.
- Each process of ours starts a Python interpreter. This fixed cost weighs more for short input.

To the peers:
- Each does different work. `ausearch` and `laurel` print every event, `libauparse` can inspect any field, we
  count. Each got the least work that still reassembles events; the table describes it.
- The versions are Debian 12's (audit 3.0.9, laurel 0.5.1), not the newest; go-libaudit is 2.6.2.
- The log has one open per millisecond. With the 50 per millisecond of a scanner, `ausearch` takes ten times
  as long for 10,000 events, and longer for more; that log was not used.
- One generated log, of one kind of event: the kind that auditsense detects. A log of other events is cheaper
  for us, and may be for them.
- auditd on a live kernel ran in the foreground (`-n`), and wrote its log or had one plugin that only counts.

To the reader:
- One virtual machine with two CPUs on a shared host. Ratios hold better than seconds.
- CPU time in /proc/PID/stat has ticks of 10 ms; a burst of 200,000 opens takes 0.6 to 1.6 s.
"""


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: int = 0) -> str:
    """Return a Markdown table; the last *right* columns are numbers."""
    marks = ["---"] * (len(head) - right) + ["--:"] * right
    lines = [head, tuple(marks), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def page(results: Results, busy: Results) -> str:
    """Return the page; *busy*: results of another machine."""
    parts = [HEAD, _plots(results), _goals(results), _elsewhere(busy), _machine(results), METHOD]
    makers = (("core", _core), ("counts", _counts), ("peers", _peers), ("events", _events), ("loops", _loops))
    parts += [make(results[name]) for name, make in makers if name in results]
    parts.append(_adversarial(results))
    parts += [_live(results), _calls(results), _day(results), _auditd(results), _spent(results)]
    parts += [_others(), UNFAIR, _limit(results)]
    return "\n".join(part for part in parts if part)


def _plots(results: Results) -> str:
    shown = plots.series(results)
    text = ""
    if "cpu" in shown:
        ours, loop = (bar[1] for bar in shown["cpu"]["bars"][:2])
        text += (
            "![CPU per event of auditsense and of a loop that drains the socket](plots/cpu.svg)\n\n"
            f"With one producer, auditsense needs {ours:.2f} µs of CPU per event; a C loop that only drains "
            f"the audit socket needs {loop:.2f} µs, because it wakes up more often (medians and spread of "
            f"{len(results['burst-1']['pairs'])} bursts).\n\n"
        )
    if "opens" in shown:
        opens, bars = results["auditd-1"]["opens"], shown["opens"]["bars"]
        ours = min(bar[2] for bar in bars if bar[0].startswith("auditsense"))
        seen = "all" if ours == opens else f"at least {ours:,.0f}"
        theirs = [bar for bar in bars if not bar[0].startswith("auditsense")]
        least, most = max(bar[3] for bar in theirs), min(bar[2] for bar in theirs)
        text += (
            "![Opens seen by auditsense and by auditd](plots/opens.svg)\n\n"
            f"In every burst of {opens:,} opens of `/proc`, auditsense saw {seen}; auditd, "
            f"with the same kernel settings, missed {100 * (1 - least / opens):.0f} to "
            f"{100 * (1 - most / opens):.0f} %.\n\n"
        )
    if "latency" in shown:
        idle, flood = (f"{results[f'latency-{name}']['ms']['read']['p99']:.1f}" for name in ("idle", "flood"))
        text += (
            "![Time from the tenth open to the alert](plots/latency.svg)\n\n"
            f"On an idle host, 99 % of the alerts arrive within {idle} ms of the tenth open; while another "
            f"process saturates the audit subsystem, within {flood} ms.\n"
        )
    return text


def _goals(results: Results) -> str:
    rows = []
    commands: dict[str, list[str]] = {}
    for line in goals(results):
        why = f"{_METS[line.met]}{': ' if line.met is not None and line.why else ''}{line.why}"
        rows.append((line.goal, line.wants, line.measured, line.spread, why))
        if line.command and line.goal not in commands.setdefault(line.command, []):
            commands[line.command].append(line.goal)
    head = ("goal", "wants", "measured", "spread", "")
    text = "## The six goals\n\n" + table(head, rows)
    if commands:
        measured = [(f"`{command}`", "; ".join(names)) for command, names in commands.items()]
        text += "\n" + table(("command", "measures"), measured)
    return text


def _elsewhere(busy: Results) -> str:
    if not busy:
        return ""
    rows = [
        (line.goal, line.wants, line.measured, line.spread, _METS[line.met])
        for line in goals(busy)
        if line.met is not None
    ]
    words = (
        "Ratios vary between machines. The same commands with the version of four days before (it looked up "
        "the sender of each datagram, ADR 23), on a virtual machine of the same kind with a slower, busy "
        "host:\n\n"
    )
    head = ("goal", "wants", "measured", "spread", "")
    return "## The same goals in a busy hour\n\n" + words + table(head, rows)


def _machine(results: Results) -> str:
    places = {name: figures["machine"] for name, figures in sorted(results.items())}
    if not places:
        return ""
    rows = [
        (name, f"{row['cpus']} × {row['cpu']}", row["kernel"], row["python"], f"{row['load_average']}")
        for name, row in places.items()
    ]
    head = ("result", "CPUs", "kernel", "Python", "load average after it")
    return "## Machine\n\n" + table(head, rows, right=1)


def _core(figures: dict[str, Any]) -> str:
    rows = []
    for row in figures["rows"]:
        if row["ns_per_event"] is None:
            continue
        middle = row["median_s"] / row["events"] * 1e9
        rows.append((row["name"], f"{row['ns_per_event']:,.0f}", f"{middle:,.0f}", f"{row['rounds']}"))
    head = ("bench", "ns per event, minimum", "median", "rounds")
    return f"## The core, stage by stage\n\n`{figures['command']}`\n\n" + table(head, rows, right=3)


def _counts(figures: dict[str, Any]) -> str:
    def cell(value: float | None) -> str:
        return "not measured" if value is None else f"{value:,.0f}"

    rows = [
        (row["name"], row["form"], cell(row["instructions"]), cell(row["allocations"]))
        for row in figures["counts"]
    ]
    head = ("event", "form", "instructions", "allocations")
    return f"## Counts\n\n`{figures['command']}`\n\n" + table(head, rows, right=2)


def _adversarial(results: Results) -> str:
    result, older = (results.get(name) for name in ("adversarial", "adversarial-before"))
    if result is None:
        return ""
    before = {row["name"]: row["ratio"] for row in older["rows"]} if older else {}
    most = result["most"]
    rows = [
        (
            row["name"],
            f"{row['ns']:,.0f}",
            f"{row['ordinary_ns']:,.0f}",
            f"{row['ratio'] * row['each']:,.1f}",
            f"{row['ratio']:.1f}" if row["ratio"] <= most else f"**{row['ratio']:.1f}**",
            f"{before[row['name']]:.1f}" if row["name"] in before else "",
        )
        for row in sorted(result["rows"], key=lambda row: -row["ratio"])
    ]
    over = sum(row["ratio"] > most for row in result["rows"])
    limit = f"more than {most:g} times the ordinary one"
    words = (
        f"`{result['command']}`: the lowest CPU time of a record, relative to an ordinary record for the "
        "same core. A record longer than an ordinary one counts as the number of ordinary records of its "
        "size. `whole`: the same without that correction. `before`: the "
        f"ratio with the version of 2026-11-29. **{over or 'No'} input{'s make' if over > 1 else ' makes'} a "
        f"record cost {limit}.**\n\n"
    )
    head = ("a record of", "ns", "ordinary, ns", "whole", "ratio", "before")
    return "## Hostile input\n\n" + words + table(head, rows, right=5)


def _peers(figures: dict[str, Any]) -> str:
    rows = []
    for row in figures["peers"]:
        cpu = row["cpu_s"]
        spread = f"{cpu['low']:.3f} to {cpu['high']:.3f}"
        rate = f"{figures['events'] / cpu['median']:,.0f}"
        rows.append((row["name"], row["does"], f"{cpu['median']:.3f}", spread, f"{row['ratio']:.1f}", rate))
    rows += [(name, f"skipped: {why}", "", "", "", "") for name, why in figures["skipped"].items()]
    head = ("", "does", "CPU s", "spread", "× grep", "events/s")
    words = f"{figures['events']:,} events, {figures['bytes'] / 1e6:.0f} MB, {figures['rounds']} rounds"
    return f"## Peers, the same log\n\n`{figures['command']}`: {words}.\n\n" + table(head, rows, right=4)


def _events(figures: dict[str, Any]) -> str:
    rows = []
    for row in figures["rows"]:
        cpu, ratio = row["cpu_s"], row["ratio"]
        rows.append(
            (
                row["name"],
                f"{cpu['median']:.3f}",
                f"{cpu['low']:.3f} to {cpu['high']:.3f}",
                f"{cpu['median'] / figures['events'] * 1e6:.2f}",
                f"{row['start_s']['median']:.3f}",
                f"{ratio['median']:.2f}",
                f"{ratio['low']:.2f} to {ratio['high']:.2f}",
            )
        )
    head = ("", "CPU s", "spread", "µs per event", "start, of CPU s", "× rows", "spread of it")
    words = (
        f"`{figures['command']}`: pid, exe and path of {figures['events']:,} events, "
        f"{figures['bytes'] / 1e6:.0f} MB, each reader in a separate process; {figures['turns']} turns.\n\n"
    )
    return "## Three fields of every event\n\n" + words + table(head, rows, right=6)


def _loops(figures: dict[str, Any]) -> str:
    rows = []
    for row in figures["rows"]:
        ratio = row["ratio"]
        spread = f"{ratio['low']:.2f} to {ratio['high']:.2f}"
        cells = (f"{row['us']:.2f}", f"{row['core_us']:.2f}", f"{ratio['median']:.2f}", spread)
        rows.append((row["name"], *cells, f"{figures['found'][row['name']]:,}"))
    head = ("", "µs per event", "the core alone", "× core", "spread", "found")
    words = (
        f"`{figures['command']}`: {figures['events']:,} events in memory, {figures['batch_events']} a turn, "
        f"{figures['pairs']} pairs. All but `feed_packed` pack single datagrams, which no sensor on the "
        f"kernel's socket does. {figures['hits']:,} hits are read for these: one per turn for each process "
        "with a completed window. Three fields of events and rows are read.\n\n"
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
    words = "Medians of the bursts of each side; `lost` is the sum of records lost by the kernel."
    if any(_received_ends(results[name]) for name in ("burst-1", "burst-2") if name in results):
        words += (
            " The sensor still received EOE records then, five records per open. Since it leaves them out, a "
            "burst costs it about a fifth less "
            "([ADR 35](adr/0035-records-that-no-field-comes-from.md)). That applies to all live figures here."
        )
    return "## Live bursts\n\n" + words + "\n\n" + table(head, rows, right=6)


def _others() -> str:
    words = (
        "The decision records have their figures. `python bench/measure.py` runs the first of them, and the "
        "next two if `AUDITSENSE_ELASTIC_RULES` names a folder with rules of Elastic.\n\n"
    )
    rows = [(f"`python {command}`", purpose) for command, purpose in OTHERS.items()]
    return "## Other benches\n\n" + words + table(("command", "measures"), rows)


def _received_ends(result: dict[str, Any]) -> bool:
    """Return whether the sensor of this result received five records per open, EOE among them."""
    return all(pair[0]["sensor"]["records"] > 4.5 * pair[0]["opens"] for pair in result["pairs"])


def _calls(results: Results) -> str:
    """Return the table of `auditsense bench calls`."""
    result = results.get("calls")
    if result is None:
        return ""
    called = [call for call in CALLED if call.name in result["stages"][0]["ns"]]
    rows = [
        (
            _named(stage),
            *(f"{stage['ns'][call.name]:,.0f}" for call in called),
            "-" if stage["records_per_listing"] is None else f"{stage['records_per_listing']:,.0f}",
        )
        for stage in result["stages"]
    ]
    head = ("ns of CPU per call", *(call.words for call in called), "records per listing")
    before, after = (result["stages"][n]["ns"]["getpid"] for n in (0, -1))
    first = (
        "The host was booted for it, and audit had never been on"
        if after > before * 1.3
        else "Audit had been on before, so that part of the cost is in every row"
    )
    words = (
        f"`{result['command']}`, the fastest of {result['rounds']} rounds, {result['date'][:10]}. {first}. "
        "The first audit rule of a host makes the shortest calls of every program take about twice as long, "
        "whether it reports them or not, and a part of that stays until the next boot. An exec hardly feels "
        "it.\n\n"
    )
    return "## What audit rules cost every program\n\n" + words + table(head, rows, right=len(called) + 1)


def _day(results: Results) -> str:
    """Return the table of bench/live/ordinary_day.py."""
    result = results.get("ordinary_day")
    if result is None:
        return ""
    rows = []
    for row in sorted(result["rows"], key=lambda row: (-row["by_session"], row["name"])):
        if row["why_not"]:
            continue
        left = "" if row["left"] is None else _counted(row["left"])
        cells = (f"{row['by_process']}", f"{row['by_session']}", _counted(row["alerts"]), left)
        rows.append((row["name"], *cells, row["explained"]))
    head = ("", "listings in 5 s by a process", "by its session", "alerts", "with `--known-harmless`", "")
    silent = sum(not row["alerts"] and not row["why_not"] for row in result["rows"])
    words = (
        f"`{result['command']}`, {result['date']}: each program in a login session, for some seconds, while "
        "the sensor ran with its default detections; programs as the user 65534, or as root where needed. "
        f"{silent} of {len(rows)} raised no alert. "
        "`--known-harmless` takes pgrep and mprof of root alone, who needs no scanner to see other users' "
        f"arguments.{_not_run(result)}\n\n"
    )
    return "## A day of ordinary use\n\n" + words + table(head, rows)


def _not_run(result: dict[str, Any]) -> str:
    names = [row["name"] for row in result["rows"] if row["why_not"]]
    return f" Not measured, because it did not start: {'; '.join(names)}." if names else ""


def _counted(alerts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" if count > 1 else name for name, count in alerts.items()) or "none"


def _named(stage: dict[str, Any]) -> str:
    rules, name = stage["audit_rules"], str(stage["stage"])
    if not rules or rules[0] == name:
        return f"`{name}`" if rules else name
    return f"{name} (`{rules[0]}`)" if len(rules) == 1 else f"{name} ({len(rules)} audit rules)"


def _auditd(results: Results) -> str:
    rows = []
    for name in ("auditd-1", "auditd-2"):
        result = results.get(name)
        if result is None:
            continue
        for reader in dict.fromkeys(row["reader"] for row in result["rows"]):
            bursts = [row for row in result["rows"] if row["reader"] == reader]
            unseen = [row["unseen"] / row["opens"] for row in bursts]
            cpu = [row["cpu"]["user"] + row["cpu"]["system"] for row in bursts]
            rows.append(
                (
                    f"{result['producers']}",
                    reader,
                    f"{100 * statistics.median(unseen):.1f} %",
                    f"{100 * min(unseen):.1f} to {100 * max(unseen):.1f} %",
                    f"{sum(row['lost_kernel'] for row in bursts):,}",
                    f"{statistics.median(cpu):.2f}",
                    f"{statistics.median(row['opens_s'] for row in bursts):,.0f}",
                )
            )
    if not rows:
        return ""
    head = ("producers", "reader", "opens not seen", "spread", "kernel lost", "CPU s", "opens/s")
    first = next(results[name] for name in ("auditd-1", "auditd-2") if name in results)
    words = (
        f"`{first['command']}`: bursts of {first['opens']:,} opens, read by auditd 3.0.9 of Debian 12 "
        "and by the sensor alternately, with the same kernel settings; medians. `kernel lost` is the number "
        "of records of all bursts.\n\n"
    )
    return "## Comparison with auditd\n\n" + words + table(head, rows, right=5)


def _spent(results: Results) -> str:
    text = ""
    rows = []
    for name in ("spent-1", "spent-2"):
        result = results.get(name)
        if result is None:
            continue
        sides = {row["reader"]: row for row in result["rows"]}
        head = f"{result['producers']} producer{'s' if result['producers'] > 1 else ''}"
        rows.append(
            (f"**{head}, in all**", *(f"{sides[side]['cpu_us']:.2f}" for side in ("sensor", "drain")))
        )
        rows += [
            (part, *(f"{sides[side]['parts_us'][part]:.2f}" for side in ("sensor", "drain")))
            for part in sides["sensor"]["parts_us"]
        ]
    if rows:
        text += "### Live\n\n`python bench/live/cpu_profile.py`, perf over one burst each, "
        text += "µs of CPU per event.\n\n"
        text += table(("", "sensor", "drain loop"), rows, right=2) + "\n"
    result = results.get("replay-spent")
    if result is not None:
        steps = result["steps"]
        rows = [
            (step, f"{row['median'] * 1e3:.0f}", f"{row['low'] * 1e3:.0f} to {row['high'] * 1e3:.0f}")
            for step, row in steps.items()
        ]
        text += f"### Replay\n\n`{result['command']}`: whole processes, ms of CPU, medians.\n\n"
        text += table(("", "ms", "spread"), rows, right=2)
        if result["objects"]:
            words = ", ".join(f"{share * 100:.0f} % {kind}" for kind, share in result["objects"].items())
            text += f"\nOf the samples of the last (perf, by what they were in): {words}.\n"
    return f"## Where the CPU goes\n\n{text}" if text else ""


def _live_row(name: str, side: tuple[dict[str, Any], ...]) -> tuple[str, ...]:
    median = statistics.median
    return (
        name,
        side[0]["reader"],
        f"{median(row['cpu']['user'] for row in side):.2f}",
        f"{median(row['cpu']['system'] for row in side):.2f}",
        f"{median(row['kauditd']['user'] + row['kauditd']['system'] for row in side):.2f}",
        f"{median(row['opens_s'] for row in side):,.0f}",
        f"{median(row['records_s'] for row in side):,.0f}",
        f"{sum(row['lost_kernel'] for row in side):,}",
    )


def _limit(results: Results) -> str:
    rows = {row["key"]: row for row in results.get("bench", {}).get("rows", ())}
    lines = []
    if "feed_hot" in rows:
        hot, cold = rows["feed_hot"], rows["feed_cold"]
        floor = hot["details"]["ns_per_event"] / hot["value"]
        lines.append(
            f"- **The core**: one scan of every byte of an event takes about {floor:.0f} ns; "
            f"the core takes {hot['value']:.1f} times that (cold: {cold['value']:.1f}). A program that reads "
            "every byte cannot get below 1; a program that skips bytes can.\n"
        )
    if "replay" in rows and "start" in rows:
        details, start = rows["replay"]["details"], rows["start"]["details"]["start_s"]
        rest = details["replay_s"] - start
        lines.append(
            f"- **Replay**: {start:.2f} s of {details['replay_s']:.2f} s are the start and end of the "
            f"program; the remaining {rest:.2f} s are {rest / details['grep_s']:.1f} × `grep -c`. "
            "Of 10,000,000 records of opens that match, on another machine (2 × AMD EPYC, 2026-12-01), "
            "commit cb6a747 took "
            "2.8 × `grep -c audit_proc` with `--only pspy`, 4.3 × with all shipped detections, and commit "
            "33cc802, which had pspy alone, 4.2 × (CPU time of whole processes, medians of 7).\n"
        )
    if "pids_100000" in rows and "pids_1000" in rows:
        more = rows["pids_100000"]["details"]["ns_per_event"] - rows["pids_1000"]["details"]["ns_per_event"]
        lines.append(
            f"- **Many processes**: with 100,000 an event takes {more:.0f} ns more than with 1,000. perf "
            "attributes nearly all of it to two dependent loads that miss all caches: a process's "
            "bucket and its window (docs/adr/0024).\n"
        )
    if "burst-1" in results:
        lines.append(_live_limit(results["burst-1"]))
    return "## Limits\n\n" + "".join(lines) if lines else ""


def _live_limit(result: dict[str, Any]) -> str:
    sensed, drained = zip(*result["pairs"], strict=True)
    user = sum(row["cpu"]["user"] for row in sensed) / sum(row["opens"] for row in sensed) * 1e6
    calls = sum(row["cpu"]["system"] for row in sensed) / sum(row["opens"] for row in sensed) * 1e6
    loop = sum(row["cpu"]["user"] + row["cpu"]["system"] for row in drained)
    loop = loop / sum(row["opens"] for row in drained) * 1e6
    return (
        f"- **Live**: an event costs the sensor {calls:.1f} µs in the kernel and {user:.1f} µs in user "
        f"space. It costs the loop, which wakes up whenever records arrive, {loop:.1f} µs. Only fewer "
        "wake-ups, fewer records or less work per record can take the sum below the loop's.\n"
    )


def load(folder: Path = RESULTS) -> Results:
    """Return the committed results of a folder, by name."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def write() -> None:
    """Write the page and the plots."""
    plots.write(load())
    PAGE.write_text(page(load(), load(BUSY)), encoding="utf-8")


if __name__ == "__main__":
    write()
