"""Readable rows of a status document, with rates where an earlier one is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_ENABLED: Final = {0: "off", 1: "on", 2: "on, locked until the next boot"}
_FAILURE: Final = {0: "silent", 1: "printk", 2: "panic"}
_SELF_TESTED: Final = frozenset({"events", "matches", "sequences"})  # self-tests are among them
_OF_THE_CORE: Final = frozenset({"matches", "sequences"})  # counted per detection above
_TROUBLED: Final = frozenset({"warning", "error"})
_COUNTERS: Final = ("records", "events", "matches", "sequences")
_DETECTIONS: Final = 10  # rows, at most
_RECENT_S: Final = 60
_MANY, _TOO_MANY = 0.5, 0.9  # of a limit
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        name: what it is; "" continues the row above.
        text: the value; may hold text that a process chose.
        role: of the text, for its colour; "" for none.
        share: 0 to 1, for a bar; None: no bar.
        detail: whether it is shown only with -v or in trouble.
    """

    name: str
    text: str
    role: str = ""
    share: float | None = None
    detail: bool = False


def lines(
    rows: Sequence[Row],
    *,
    bar: Callable[[float], tuple[str, str]] | None = None,
    show: Callable[[str], str] = str,
    paint: Callable[[str, str], str] = lambda _, text: text,
) -> list[str]:
    """Return rows as lines "name  value".

    Args:
        rows: of one document.
        bar: returns the two parts of a bar of constant width; None: no bars.
        show: makes text safe for a terminal.
        paint: colours safe text by its role.
    """
    width = max(len(row.name) for row in rows)
    output: list[str] = []
    for row in rows:
        drawn = ""
        if bar is not None and row.share is not None:
            full, empty = bar(row.share)
            drawn = f"{paint(row.role or 'ok', full)}{paint('faint', empty)}  "
        name = paint("faint", f"{row.name:{width}}")
        output.append(f"{name}  {drawn}{paint(row.role, show(row.text.rstrip()))}")
    return output


def table_rows(
    now: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
    peaks: dict[str, float] | None = None,
    *,
    details: bool = False,
) -> list[Row]:
    """Return the rows of a document: what the sensor found and lost first, then how it works.

    Args:
        now: returned by `client.ask`. Fields that another version lacks are left out.
        before: an earlier one of the same sensor, for rates.
        peaks: highest rate so far of each counter; is updated.
        details: whether to show the tables of the core as well; those in trouble are always shown.
    """
    rows = _rows(now, before, {} if peaks is None else peaks)
    return [row for row in rows if details or not row.detail or row.role in _TROUBLED]


def _rows(now: Mapping[str, Any], before: Mapping[str, Any] | None, peaks: dict[str, float]) -> Iterator[Row]:
    source, process = now.get("source", {}), now.get("process", {})
    yield Row(
        "sensor",
        f"auditsense {now.get('auditsense')}, process {now.get('pid')}, up {span(now['uptime_s'])}",
        "strong",
    )
    yield from _findings(now)
    yield from _losses(now)
    if "last_record" in now:
        yield Row("last record", _ago(now, now["last_record"]))
    yield from (_counter(now, before, name, peaks) for name in _COUNTERS)
    test = now.get("self_test")
    if test:
        events = f", {counted(test['events'], 'events')} not counted above" if test.get("events") else ""
        text = f"{test['passed']} passed, {test['failed']} failed{events}"
        yield Row("self-tests", text, "error" if test["failed"] else "")
    if unread := now["counters"].get("malformed"):
        yield Row("not understood", f"{unread} of {now['counters']['lines']} lines are no audit record")
    why = f" ({source['why']})" if source.get("why") else ""
    guardian = f", guardian {source['guardian']}" if source.get("guardian") else ", no guardian"
    yield Row("source", f"{source.get('name')}{why}{guardian}")
    if kept := now.get("privileges"):
        user = kept["user"] or f"user id {kept['user_id']}"
        without = f", without {kept['missing']}" if kept["missing"] else ""
        yield Row("runs as", f"{user}{without}", "warning" if without or not kept["user_id"] else "")
    for rule in now.get("audit_rules", ()):
        yield Row("audit rule", str(rule))
    yield from _kernel(now.get("kernel"))
    yield from _tables(now)
    for sink in now.get("sinks", ()):
        yield _sink(sink)
    for entry in now.get("exceptions", ()):
        text = f"{entry['events']} from {entry['detection']}: {entry['comment']} ({entry['origin']})"
        yield Row("excepted", text)
    for entry in now.get("unknown_arches", ()):
        text = f"architecture {entry['arch']}: {entry['records']} events"
        yield Row("no call table", text, "warning")
    cpu = _cpu(now, before)
    yield Row("process", f"CPU {process.get('cpu_s', 0):.2f} s{cpu}, memory {_mib(process)} at most")


def _tables(now: Mapping[str, Any]) -> Iterator[Row]:
    for name, label, used in (("windows", "windows", "used"), ("events", "open events", "open")):
        if name in now:
            part = now[name]
            share = part[used] / part["limit"]
            role = "warning" if part["evicted"] else _fill_role(share)
            text = f"{part[used]} of {part['limit']}, {part['evicted']} evicted"
            yield Row(label, text, role, share, detail=True)
    if now.get("processes", {}).get("limit"):
        part = now["processes"]
        share = part["used"] / part["limit"]
        text = f"{part['used']} of {part['limit']}, {part['evicted']} evicted"
        unknown = f", {part['parents_unknown']} unknown parents" if part["parents_unknown"] else ""
        role = "warning" if part["parents_unknown"] else ""  # a full table is normal: the oldest processes go
        yield Row("processes", text + unknown, role, share, detail=True)


def _findings(now: Mapping[str, Any]) -> Iterator[Row]:
    yield from _last_alert(now)
    yield from _detections(now)
    alerts = now.get("alerts", {})
    counts = [_number(alerts, name) for name, count in alerts.items() if count or name == "alerts"]
    yield Row("alerts", ", ".join(counts), "warning" if alerts.get("withheld") else "")


def _last_alert(now: Mapping[str, Any]) -> Iterator[Row]:
    if "last_alert" in now:
        alert = now["last_alert"]
        if alert is None:
            yield Row("last alert", "none yet")
            return
        process = alert["process"]
        text = f"{_ago(now, alert['time'])}: {alert['rule_id']}, {process.get('name', '?')}[{process['pid']}]"
        yield Row("last alert", text, "medium" if now["now"] - alert["time"] < _RECENT_S else "")


def _ago(now: Mapping[str, Any], time_s: float | None) -> str:
    return "none yet" if time_s is None else f"{span(max(0, now['now'] - time_s))} ago"


def _detections(now: Mapping[str, Any]) -> Iterator[Row]:
    """Yield the detections with most sequences, and the number of the others."""
    if "detection_counts" not in now:
        yield Row("detections", ", ".join(now.get("detections", ())) or "none")
        return
    counts = sorted(now["detection_counts"], key=lambda entry: -entry["sequences"])
    active = [entry for entry in counts if entry["sequences"]] or counts[:1]
    name = "detections"
    for entry in active[:_DETECTIONS]:
        share = entry["sequences"] / active[0]["sequences"] if len(active) > 1 else None
        text = f"{entry['id']}: {_number(entry, 'sequences')}, {_number(entry, 'alerts')}"
        yield Row(name, text, share=share)
        name = ""
    if rest := len(counts) - len(active[:_DETECTIONS]):
        yield Row(name, f"{rest} more with {'fewer' if len(active) > _DETECTIONS else 'no'} sequences")
    elif not counts:
        yield Row(name, "none")


def _number(entry: Mapping[str, Any], name: str) -> str:
    return counted(entry[name], name)


def counted(count: int, name: str) -> str:
    """Return a count with its noun, given in the plural, in the singular for one."""
    return f"{count} {name.removesuffix('s') if count == 1 else name}"


def _sink(sink: Mapping[str, Any]) -> Row:
    """Return the row of a sink: what it wrote, and what is not 0 otherwise."""
    counts = [f"{sink.get('written', 0)} written"]
    counts += [f"{sink[name]} {name}" for name in ("dropped", "failed") if sink.get(name)]
    if sink.get("queued_bytes"):
        counts.append(f"{sink['queued_bytes']} bytes queued")
    if sink.get("problem"):
        counts.append(str(sink["problem"]))
    troubled = sink.get("dropped") or sink.get("failed") or sink.get("problem")
    return Row("sink", f"{sink.get('name', '?')}: {', '.join(counts)}", "warning" if troubled else "")


def _losses(now: Mapping[str, Any]) -> Iterator[Row]:
    losses = now.get("losses", {})
    causes = ", ".join(f"{name} {count}" for name, count in losses.get("by_cause", {}).items())
    known = losses.get("known", 0)
    yield Row("lost", f"{known}" + (f": {causes}" if causes else ""), "warning" if known else "")


def _kernel(kernel: Mapping[str, Any] | None) -> Iterator[Row]:
    if kernel is None:
        yield Row("kernel", "not asked yet")
        return
    enabled, failure = kernel["enabled"], kernel["failure"]
    owner = f"process {kernel['pid']}" if kernel["pid"] else "none"
    audit = f"audit {_ENABLED.get(enabled, enabled)}, failure {_FAILURE.get(failure, failure)}"
    yield Row("kernel", f"{audit}, owner {owner}, lost {kernel['lost']}", "" if enabled else "error")
    limit = kernel["backlog_limit"]
    share = kernel["backlog"] / limit if limit else None
    text = f"{kernel['backlog']} of {limit or 'unlimited'}, wait time {kernel['backlog_wait_time']} jiffies"
    yield Row("backlog", text, _fill_role(share or 0), share, detail=True)


def _fill_role(share: float) -> str:
    return "error" if share > _TOO_MANY else "warning" if share > _MANY else ""


def _counter(
    now: Mapping[str, Any], before: Mapping[str, Any] | None, name: str, peaks: dict[str, float]
) -> Row:
    count = _count(now, name)
    seconds = now["uptime_s"] - before["uptime_s"] if before is not None else 0
    detail = name in _OF_THE_CORE
    if before is None or seconds <= 0:
        return Row(name, f"{count}", share=0.0, detail=detail)
    rate = (count - _count(before, name)) / seconds
    peaks[name] = max(peaks.get(name, 0), rate)
    share = max(0, rate) / peaks[name] if peaks[name] else 0
    return Row(name, f"{count}  ({rate:.1f}/s)", share=share, detail=detail)


def _count(document: Mapping[str, Any], name: str) -> int:
    """Return a counter without the self-tests."""
    test = document.get("self_test") or {}
    count: int = document["counters"][name] - (test.get("events", 0) if name in _SELF_TESTED else 0)
    return count


def _cpu(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    seconds = now["uptime_s"] - before["uptime_s"] if before is not None else 0
    if before is None or seconds <= 0:
        return ""
    return f" ({100 * (now['process']['cpu_s'] - before['process']['cpu_s']) / seconds:.1f} %)"


def _mib(process: Mapping[str, Any]) -> str:
    return f"{process.get('memory_peak_bytes', 0) / 2**20:.0f} MiB"


def span(seconds: float) -> str:
    """Return a duration in its two largest units."""
    total = int(seconds)
    if total < _MINUTE:
        return f"{total} s"
    if total < _HOUR:
        return f"{total // _MINUTE} min {total % _MINUTE} s"
    if total < _DAY:
        return f"{total // _HOUR} h {total % _HOUR // _MINUTE} min"
    return f"{total // _DAY} d {total % _DAY // _HOUR} h"
