"""Documents about the alert limit and about clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from auditsense._escape import quoted
from auditsense.core.rule_table import Field
from auditsense.detect.ecs import CLOCK_DATASET, UNSET, WITHHELD_DATASET, notice, put, timestamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.core.hit import Hit
    from auditsense.detect.document_types import Document, ProcessFields, WithheldProcessFields
    from auditsense.detect.host import Host


def withheld_row(rule_id: str, hit: Hit, count: int, last_ms: int) -> WithheldProcessFields:
    """Return one burst whose alert was withheld, as `withheld_document` lists it.

    Args:
        rule_id: what was detected.
        hit: the window that began the burst.
        count: matches so far.
        last_ms: stamp of the newest of them.
    """
    row: dict[str, Any] = {"rule": rule_id}
    put(row, "pid", hit.number(Field.PID))
    put(row, "name", hit.text(Field.COMM))
    put(row, "executable", hit.text(Field.EXE))
    put(row, "user", hit.text(Field.UID))
    put(row, "login", "unset" if hit.number(Field.AUID) == UNSET else hit.text(Field.AUID))
    put(row, "host", hit.text(Field.NODE))
    row |= {"count": count, "since": timestamp(hit.ids[0].ms), "until": timestamp(last_ms)}
    return cast("WithheldProcessFields", row)


def withheld_document(host: Host, *, rows: Sequence[WithheldProcessFields], ms: int, count: int) -> Document:
    """Return whose alerts were withheld until the end of an interval.

    Args:
        host: this host.
        rows: those that wait for an alert, as `withheld_row`: one at least. The document's process and user
            are those of the first.
        ms: stamp of the newest of their events.
        count: how many wait or ended without an alert; those that are not in *rows* are counted only.
    """
    document = notice(
        host,
        kind="state",
        dataset=WITHHELD_DATASET,
        ms=ms,
        rule=("auditsense.withheld", "Alerts Were Withheld"),
        severity="high",
        state="withheld",
        message=f"{count} alerts are withheld, over the limit of the interval; first: {_who(rows[0])}",
    )
    first = rows[0]
    process = {name: first.get(name) for name in ("pid", "name", "executable") if name in first}
    if process:
        document["process"] = cast("ProcessFields", process)
    if "user" in first:
        document["user"] = {"id": first["user"]}
    document["auditsense"]["withheld"] = {"count": count, "processes": [*rows], "more": count - len(rows)}
    return document


def _who(row: WithheldProcessFields) -> str:
    """Say who it is; what a process chose itself is quoted, as in a compact line."""
    name, pid, executable, user = (
        quoted(str(row[key])) if key in row else "?" for key in ("name", "pid", "executable", "user")
    )
    return f"{name}[{pid}] {executable} user {user}, {row['count']} matches"


def clock_document(host: Host, *, ms: int, step_ms: int, before_ms: int) -> Document:
    """Return a step of this host's wall clock.

    Args:
        host: this host.
        ms: the clock after it.
        step_ms: how far it stepped; negative: back.
        before_ms: what it would show without the step.
    """
    direction = "ahead" if step_ms > 0 else "back"
    document = notice(
        host,
        kind="state",
        dataset=CLOCK_DATASET,
        ms=ms,
        rule=("auditsense.clock", "The Clock Was Set"),
        severity="medium",
        state="clock",
        message=f"the clock stepped {direction} by {abs(step_ms) / 1000:.1f} s, or the host was suspended",
    )
    document["auditsense"]["clock"] = {
        "step_ms": step_ms,
        "before": timestamp(before_ms),
        "after": timestamp(ms),
    }
    return document
