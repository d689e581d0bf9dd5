"""auditsense run: watch this host."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from auditsense.cli import put, say
from auditsense.cli.common import ending, give_up_privileges, report_restored, unknown_arches
from auditsense.cli.output import running_sinks, wanted_sinks
from auditsense.cli.sd_notify import Manager
from auditsense.cli.sighup import Reloading
from auditsense.cli.status import Serving
from auditsense.config.settings import found_for, settings
from auditsense.errors import UsageError, one_line
from auditsense.kernel import (
    privileges,
    seccomp,  # noqa: F401 - for give_up_privileges: nothing is loaded after the takeover
)
from auditsense.kernel.self_test import DEFAULT_EVERY_S, SelfTest
from auditsense.sensor.sensor import Sensor
from auditsense.sinks.format import Format
from auditsense.sources.factory import is_text, kernel_source, rules_needed, text_source
from auditsense.sources.multicast import Multicast
from auditsense.sources.text_source import TextSource
from auditsense.status.config import DEFAULT_SOCKET, StatusSettings
from auditsense.status.snapshot import StatusContext

if TYPE_CHECKING:
    import argparse

    from auditsense.config.settings import Settings, SourceSettings
    from auditsense.detect.alerts import AlertCounts
    from auditsense.kernel.privileges import User
    from auditsense.sources.base import Cleanup
    from auditsense.sources.kernel_source import KernelSource


def _source(
    asked: SourceSettings, rules: list[str], cleanup: Cleanup | None, *, own_process: bool
) -> tuple[KernelSource | TextSource, str]:
    """Return the source asked for, and for "auto" why it is not the usual one.

    Raises:
        UsageError: an option that only the kernel's sources have.
    """
    if not is_text(asked.name):
        return kernel_source(asked.name, rules, guarded=True, repair=asked.repair, cleanup=cleanup)
    for value, option in (
        (asked.audit_rules, "--audit-rule"),
        (asked.lean, "--lean"),
        (asked.repair, "repair"),
    ):
        if value:
            raise UsageError(
                f"{option} is for the kernel's own sockets; "
                f"with source {asked.name} auditd decides what comes"
            )
    if asked.name == "audisp" and own_process:  # auditd sends it when it reloads its configuration
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return text_source(asked.name), ""


def _status_settings(asked: Settings) -> StatusSettings:
    """Return the status socket; none where the user may not create the default one."""
    if is_text(asked.source.name) and os.geteuid() != 0 and asked.status.socket == DEFAULT_SOCKET:
        return StatusSettings(None)
    return asked.status


def _drop_all_privileges(user: User | None, *, own_process: bool) -> None:
    """Keep no capability. No system call filter: a log or a socket has to be opened again.

    Raises:
        AuditSenseError: the kernel refused.
    """
    if own_process:
        privileges.keep_only(user=user)


def _print_plan(source: KernelSource | TextSource) -> int:
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
    serving = Serving(_status_settings(asked))
    source, why = _source(asked.source, rules, serving.cleanup, own_process=arguments.own_process)
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
    context = StatusContext(
        sensor, source, why, rules, time.time, self_test, asked.limits, lambda: [*output.sinks.counts()]
    )
    serving.watch(context)
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
            report_restored(source)
            _boost(asked.boost, own_process=arguments.own_process)
            # The one more lets it go on by multicast when the socket is lost.
            if isinstance(source, TextSource):
                _drop_all_privileges(asked.user, own_process=arguments.own_process)
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
        afterwards = "the host is as it was" if isinstance(source, TextSource) else source.afterwards
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


def _say_messages(source: KernelSource | TextSource) -> None:
    """Say what a source of text has to say to a person, such as that nothing in it is understood."""
    if isinstance(source, TextSource):
        for message in source.take_messages():
            say(message)


def _shown(form: str | None) -> bool:
    """Return whether the person who reads standard error has readable documents beside it, on a terminal."""
    if form not in (None, Format.COMPACT):
        return False
    return all(stream is not None and stream.isatty() for stream in (sys.stdout, sys.stderr))


def _counts(sensor: Sensor) -> str:
    counts = sensor.alert_counts
    return f"watching; {counts.alerts} alerts; records lost by the kernel: {sensor.losses.kernel_lost}"


def _summary(sensor: Sensor, self_test: SelfTest | None, seconds: float) -> str:
    stats = sensor.stats()
    passed = self_test.passed if self_test is not None else 0
    matches = stats.matches - passed  # what the sensor made itself is no match to a person
    counts = sensor.alert_counts
    said = (
        f"{seconds:.1f} s, {stats.records} records, {stats.events} events, {matches} matches, "
        f"{counts.alerts} alerts; lost: kernel {sensor.losses.kernel_lost}, serials {stats.serials_missing}, "
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
