"""auditsense run: watch this host."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from auditsense.cli import put, say
from auditsense.cli.common import ending, give_up_privileges, say_put_back, unknown_arches
from auditsense.cli.output import running_sinks, wanted_sinks
from auditsense.cli.sd_notify import Manager
from auditsense.cli.sighup import Reloading
from auditsense.cli.status import Serving
from auditsense.cli.text import give_up_all, is_text, status_for, text_source
from auditsense.config.settings import found_for, settings
from auditsense.errors import one_line
from auditsense.kernel import (
    privileges,
    seccomp,  # noqa: F401 - for give_up_privileges: nothing is loaded after the takeover
)
from auditsense.kernel.self_test import DEFAULT_EVERY_S, SelfTest
from auditsense.sensor.sensor import Sensor
from auditsense.sinks.format import Format
from auditsense.sources.auto import choose
from auditsense.sources.factory import rules_needed
from auditsense.sources.multicast import Multicast
from auditsense.sources.text_source import Text
from auditsense.sources.unicast import Unicast
from auditsense.status.snapshot import Watched

if TYPE_CHECKING:
    import argparse

    from auditsense.config.settings import SourceSettings
    from auditsense.detect.alerts import AlertCounts


def _source(
    asked: SourceSettings, rules: list[str], *, own_process: bool
) -> tuple[Unicast | Multicast | Text, str]:
    """Return the source asked for, and why it is another one than usual, if it was not asked for."""
    text = text_source(asked, own_process=own_process)
    if text is not None:
        return text, ""
    if asked.name == "auto":
        return choose(rules, guarded=True, repair=asked.repair)
    made = Multicast if asked.name == "multicast" else Unicast
    return made(rules, guarded=True, repair=asked.repair), ""


def _print_plan(source: Unicast | Multicast | Text) -> int:
    steps = source.plan()
    for step in steps:
        put(one_line(step))
    if not steps:
        say("nothing would be changed on this host")
    return 0


def _self_test(asked: SourceSettings) -> SelfTest | None:
    """Return the self-test asked for; it is root who opens, which a rule of one's own may not see."""
    every = asked.self_test_s
    if every is None:
        every = 0 if asked.audit_rules or is_text(asked.name) else DEFAULT_EVERY_S
    return SelfTest(every) if every else None


def run(arguments: argparse.Namespace) -> int:
    """Run until a signal or the end of `--duration`."""
    asked = settings(found_for(arguments))
    wanted = wanted_sinks(arguments.sink or asked.sinks)
    rules = list(asked.source.audit_rules) or rules_needed(asked.detections)
    if is_text(asked.source.name):
        rules = []  # auditd's are in force
    source, why = _source(asked.source, rules, own_process=arguments.own_process)
    if arguments.dry_run:
        return _print_plan(source)
    self_test = _self_test(asked.source)
    sensor = Sensor(
        asked.detections,
        view=asked.view,
        policy=asked.policy,
        limits=asked.limits,
        source=source,
        self_test=self_test,
        lean=asked.source.lean,
    )
    watched = Watched(
        sensor, source, why, rules, time.time, self_test, asked.limits, lambda: [*output.sinks.counts()]
    )
    serving = Serving(status_for(asked), watched, source)
    manager = Manager()

    def stop() -> None:
        manager.stopping()
        sensor.stop()

    reloading = Reloading(arguments, asked, manager, stop)

    def turned() -> float:
        reloading.turned(sensor, lambda: _counts(sensor))
        manager.turned(lambda: _counts(sensor))
        _say_messages(source)
        return output.tend()

    # The sinks first: their processes must have nothing of what comes now.
    sinks = running_sinks(
        wanted,
        asked.format,
        shown=_shown(asked.format),
        user=asked.user,
        boost=asked.boost,
        own_process=arguments.own_process,
    )
    with sinks as output, manager, ending(stop), reloading:
        reloading.reopen = output.reopen
        started = time.monotonic()
        with sensor, serving:
            say_put_back(source)
            _boost(asked.boost, own_process=arguments.own_process)
            # The one more lets it go on by multicast when the socket is lost.
            if isinstance(source, Text):
                give_up_all(asked.user, own_process=arguments.own_process)
            else:
                give_up_privileges(asked.user, privileges.CAP_AUDIT_READ, own_process=arguments.own_process)
            chosen = f"{source.name} ({why})" if why else source.name
            set_here = f"audit rules: {'; '.join(rules)}" if rules else "no audit rule set"
            say(f"watching; source {chosen}, {set_here}")
            if isinstance(source, Multicast) and source.off:
                say("audit is off (enabled 0): nothing comes until its owner turns it on")
            if arguments.duration is not None:
                # No thread: the guardian may have to be forked again.
                signal.setitimer(signal.ITIMER_REAL, arguments.duration)
            manager.ready(f"watching; source {chosen}")
            for documents in sensor.batches(turned):
                output.write(documents)
            summary = _summary(sensor, self_test, time.monotonic() - started)
        output.close()
        afterwards = "the host is as it was" if isinstance(source, Text) else source.afterwards
        say(f"{summary}{output.summary()}; {afterwards}")
    return 0


def _boost(steps: int, *, own_process: bool) -> None:
    """Run before others, from here on: it is the sensor that must not wait, not its guardian."""
    if not steps or not own_process:
        return
    try:
        os.nice(-steps)
    except OSError as error:  # a container without CAP_SYS_NICE
        say(f"cannot run before others: {error.strerror}; under full load alerts may be late")


def _say_messages(source: Unicast | Multicast | Text) -> None:
    """Say what a source of text has to say to a person, such as that nothing in it is understood."""
    if isinstance(source, Text):
        for message in source.take_messages():
            say(message)


def _shown(form: str | None) -> bool:
    """Return whether the person who reads standard error has readable documents beside it, on a terminal."""
    if form not in (None, Format.COMPACT):
        return False
    return all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr))


def _counts(sensor: Sensor) -> str:
    counts = sensor.alert_counts
    return f"watching; {counts.alerts} alerts; records lost by the kernel: {sensor.kernel_lost}"


def _summary(sensor: Sensor, self_test: SelfTest | None, seconds: float) -> str:
    stats = sensor.stats()
    passed = self_test.passed if self_test is not None else 0
    matches = stats.matches - passed  # what the sensor made itself is no match to a person
    counts = sensor.alert_counts
    said = (
        f"{seconds:.1f} s, {stats.records} records, {stats.events} events, {matches} matches, "
        f"{counts.alerts} alerts; lost: kernel {sensor.kernel_lost}, serials {stats.serials_missing}, "
        f"incomplete {stats.incomplete}"
    )
    rest = sensor.losses.by_cause()
    for name in ("socket_drops", "truncated", "foreign", "keys_evicted", "stale"):
        if name in rest:
            said += f", {name.replace('_', ' ')} {rest[name]}"
    if stats.malformed and stats.lines:
        said += f"; {stats.malformed} of {stats.lines} lines were no audit record"
    if self_test is not None and self_test.failed:
        said += f"; {self_test.failed} of {passed + self_test.failed} self-tests failed"
    for one, count in sensor.exceptions():
        if count:
            said += f"; excepted from {one.detection}: {count} events ({one.comment})"
    said += "".join(f"; {line}" for line in unknown_arches(stats))
    return said + _clocks(sensor) + _withheld(sensor.alert_counts)


def _clocks(sensor: Sensor) -> str:
    set_ = f"; the clock was set {sensor.clock_steps} times" if sensor.clock_steps else ""
    back = sensor.stats().stamp_steps
    return f"{set_}; stamps of records went back {back} times" if back else set_


def _withheld(counts: AlertCounts) -> str:
    if not counts.withheld:
        return ""
    later = f", {counts.delayed} of them sent later" if counts.delayed else ""
    return f"; {counts.withheld} alerts withheld, over the limit of the interval{later}"
