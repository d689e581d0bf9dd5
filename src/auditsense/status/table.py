"""Readable lines of a status document, with rates where an earlier one is known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ENABLED: Final = {0: "off", 1: "on", 2: "on, locked until the next boot"}
_FAILURE: Final = {0: "silent", 1: "printk", 2: "panic"}
_COUNTERS: Final = ("records", "events", "matches", "sequences")
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def table(now: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """Return a document as lines "name  value", without the last line end.

    Args:
        now: returned by `client.ask`. Fields that another version lacks are left out.
        before: an earlier one of the same sensor, for rates.
    """
    rows = [*_rows(now, before)]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:{width}}  {value}".rstrip() for name, value in rows)


def _rows(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    source, process = now.get("source", {}), now.get("process", {})
    yield (
        "sensor",
        f"auditsense {now.get('auditsense')}, process {now.get('pid')}, up {span(now['uptime_s'])}",
    )
    why = f" ({source['why']})" if source.get("why") else ""
    guardian = f", guardian {source['guardian']}" if source.get("guardian") else ", no guardian"
    yield "source", f"{source.get('name')}{why}{guardian}"
    for rule in now.get("audit_rules", ()):
        yield "audit rule", str(rule)
    yield "detections", ", ".join(now.get("detections", ())) or "none"
    yield from _kernel(now.get("kernel"))
    for name in _COUNTERS:
        yield name, _count(now, before, name)
    if unread := now["counters"].get("malformed"):
        yield "not understood", f"{unread} of {now['counters']['lines']} lines are no audit record"
    alerts = now.get("alerts", {})
    yield "alerts", ", ".join(f"{count} {name}" for name, count in alerts.items())
    for name, used in (("windows", "used"), ("events", "open")):
        if name in now:
            part = now[name]
            label = "windows" if name == "windows" else "open events"
            yield label, f"{part[used]} of {part['limit']}, {part['evicted']} evicted"
    losses = now.get("losses", {})
    causes = ", ".join(f"{name} {count}" for name, count in losses.get("by_cause", {}).items())
    yield "lost", f"{losses.get('known', 0)}" + (f": {causes}" if causes else "")
    if now.get("self_test"):
        yield "self-tests", f"{now['self_test']['passed']} passed, {now['self_test']['failed']} failed"
    for sink in now.get("sinks", ()):
        rest = ", ".join(f"{name} {value}" for name, value in sink.items() if name != "name")
        yield "sink", f"{sink.get('name', '?')}: {rest}"
    for entry in now.get("exceptions", ()):
        text = f"{entry['events']} from {entry['detection']}: {entry['comment']} ({entry['origin']})"
        yield "excepted", text
    for entry in now.get("unknown_arches", ()):
        yield "no call table", f"architecture {entry['arch']}: {entry['records']} events"
    cpu = _cpu(now, before)
    yield "process", f"CPU {process.get('cpu_s', 0):.2f} s{cpu}, memory {_mib(process)} at most"


def _kernel(kernel: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if kernel is None:
        yield "kernel", "not asked yet"
        return
    enabled, failure = kernel["enabled"], kernel["failure"]
    owner = f"process {kernel['pid']}" if kernel["pid"] else "none"
    audit = f"audit {_ENABLED.get(enabled, enabled)}, failure {_FAILURE.get(failure, failure)}"
    yield "kernel", f"{audit}, owner {owner}, lost {kernel['lost']}"
    limit = kernel["backlog_limit"] or "unlimited"
    yield "backlog", f"{kernel['backlog']} of {limit}, wait time {kernel['backlog_wait_time']} jiffies"


def _count(now: Mapping[str, Any], before: Mapping[str, Any] | None, name: str) -> str:
    count = now["counters"][name]
    seconds = now["uptime_s"] - before["uptime_s"] if before is not None else 0
    if before is None or seconds <= 0:
        return f"{count}"
    return f"{count}  ({(count - before['counters'][name]) / seconds:.1f}/s)"


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
