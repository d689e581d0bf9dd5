"""Cost of audit rules to every program of this host: CPU time of single system calls, before, with and after.

Any audit rule makes the kernel collect facts at each system call of each process, whether the rule reports it
or not. After audit was on once, a part of that stays until the next boot.

Rule 1: one run. The stages alternate, so that a busy minute of the host meets all of them; only the first can
        be measured once, because the others change what it measures. The fastest block of all rounds counts.
Rule 2: a stage is a new process: the kernel decides at the fork whether a process is audited.
Rule 3: a loop reads and discards what the rules report, at the rate at which a sensor reads it.
Rule 4: each stage restores the host, with a guardian in case this process is killed.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from auditsense.bench.audit_lock import exclusive_audit
from auditsense.bench.c_helpers import CALLS, DRAIN, NO_COMPILER, compiled, compiler
from auditsense.bench.consumers import draining
from auditsense.bench.interpreter import environment
from auditsense.errors import AuditSenseError
from auditsense.kernel.commands import Commands
from auditsense.sources.unicast import Unicast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

WATCH: Final = "-w /proc/ -p r -k audit_proc"
"""The rule that Elastic's rule asks for, measured in addition to the rules of the detections."""
BEFORE, AFTER, WITHOUT_RULES = "before", "after", "audit on, no rules"
LISTING: Final = "listing"
_BLOCKS: Final = 5  # of calls.c
_LIMIT_S: Final = 60.0
_SETTLE_S: Final = 0.3  # until the last record of a listing was read
_OLD_COST: Final = 1.3  # of a getpid before and after: more than the noise of a best of many


@dataclass(frozen=True, slots=True)
class Call:
    """A call that calls.c makes: its name there, a description, and the number in a block."""

    name: str
    words: str
    count: int


CALLED: Final = (
    Call("getpid", "getpid", 10_000),
    Call("stat", "stat", 5_000),
    Call("open", "open and close a file", 2_000),
    Call("proc", "open and close /proc", 1_000),
    Call("stat-of-1", "open and close /proc/1/stat", 1_000),
    Call("exec", "fork, exec, exit", 20),
    Call(LISTING, "list all processes", 2),
)


@dataclass(frozen=True, slots=True)
class Stage:
    """One state of the kernel's audit, and what calls cost in it.

    Attributes:
        name: before, after, or what the rules are.
        rules: that were added; () for none.
        ns: of CPU per call, by the name of the call; the fastest of all rounds.
        records: that one listing of all processes caused, the fewest of all rounds; None: audit was off.
    """

    name: str
    rules: tuple[str, ...]
    ns: dict[str, float]
    records: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as `--json` writes it."""
        return {
            "stage": self.name,
            "audit_rules": list(self.rules),
            "ns": self.ns,
            "records_per_listing": self.records,
        }


@dataclass(frozen=True, slots=True)
class CallsPlan:
    """Amount of work.

    Attributes:
        rules: audit rules by the name of the stage that measures them.
        rounds: of all stages.
        calls: that are measured.
    """

    rules: Mapping[str, tuple[str, ...]]
    rounds: int = 9
    calls: tuple[Call, ...] = CALLED


@dataclass(frozen=True, slots=True)
class CallsReport:
    """Measurements of a run.

    Attributes:
        stages: in the order of the first round, before first and after last.
        foreign_rules: audit rules of other programs, in effect all the time.
        static: whether the program that exec starts was linked statically.
    """

    stages: tuple[Stage, ...]
    foreign_rules: int
    static: bool

    @property
    def was_on_before(self) -> bool:
        """Whether audit must have been on since the boot: the cost that stays was there before this run."""
        before, after = self.stages[0].ns["getpid"], self.stages[-1].ns["getpid"]
        return after < before * _OLD_COST


def stages_of(sensor_rules: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return the audit rules of the stages between before and after.

    Args:
        sensor_rules: that `run` adds; () for none.
    """
    stages = {WITHOUT_RULES: (), "the sensor's rules": tuple(sensor_rules), WATCH: (WATCH,)}
    if not sensor_rules:
        del stages["the sensor's rules"]
    elif tuple(sensor_rules) == (WATCH,):
        del stages[WATCH]
    return stages


def measure(plan: CallsPlan, notify: Callable[[str], None]) -> CallsReport:
    """Measure all stages, holding the lock of live runs.

    Raises:
        NoKernelAuditError: the kernel's audit is unavailable; nothing was done.
        AuditSenseError: there is no compiler, a step failed, or the host was not restored.
    """
    if compiler() is None:
        raise AuditSenseError(NO_COMPILER)
    with tempfile.TemporaryDirectory(prefix="auditsense-bench-") as name, exclusive_audit(notify):
        folder = Path(name)
        folder.chmod(0o711)  # the calls are made by another user
        program, static = _compiled(folder)
        drain = compiled(DRAIN, folder)
        with Commands() as commands:
            foreign = len(commands.rules())
        best: dict[str, dict[str, float]] = {}
        records: dict[str, float] = {}
        for turn in range(plan.rounds):
            notify(f"before: round {turn + 1} of {plan.rounds}")
            _keep_best(best, BEFORE, _timed(program, plan.calls))
        for turn in range(plan.rounds):
            notify(f"with audit rules, and after: round {turn + 1} of {plan.rounds}")
            for stage, rules in plan.rules.items():
                caused = _with_rules(rules, drain, program, plan.calls, best.setdefault(stage, {}))
                records[stage] = min(caused, records.get(stage, caused))
            _keep_best(best, AFTER, _timed(program, plan.calls))
    stages = [Stage(name, plan.rules.get(name, ()), ns, records.get(name)) for name, ns in best.items()]
    return CallsReport(tuple(sorted(stages, key=lambda stage: stage.name == AFTER)), foreign, static)


def _compiled(folder: Path) -> tuple[str, bool]:
    """Return the program, and whether it is static: not every host has a C library for that."""
    try:
        return compiled(CALLS, folder, "-static"), True
    except AuditSenseError:
        return compiled(CALLS, folder), False


def _with_rules(
    rules: Sequence[str], drain: str, program: str, calls: Sequence[Call], best: dict[str, float]
) -> float:
    """Measure one stage; return how many records a listing has caused."""
    single = [call for call in calls if call.name != LISTING]
    listing = [call for call in calls if call.name == LISTING]
    with ExitStack() as stack:
        source = stack.enter_context(Unicast([*rules], guarded=True))
        with draining(drain, source):
            _keep_best({"": best}, "", _timed(program, single))
        with draining(drain, source) as consumer:
            _keep_best({"": best}, "", _timed(program, listing))
            time.sleep(_SETTLE_S)
            return consumer.end()["records"] / max(1, sum(call.count for call in listing) * _BLOCKS)


def _timed(program: str, calls: Sequence[Call]) -> dict[str, float]:
    """Return ns per call, each measured by a new process."""
    return {call.name: _time(program, call) for call in calls}


def _time(program: str, call: Call) -> float:
    try:
        done = subprocess.run(
            [program, call.name, str(call.count)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=_LIMIT_S,
            env=environment(),
        )
    except subprocess.CalledProcessError as error:
        raise AuditSenseError(f"{call.words}: cannot be measured: {error.stderr.strip()}") from None
    except subprocess.TimeoutExpired:
        raise AuditSenseError(f"{call.words}: not measured within {_LIMIT_S:g} s; try later") from None
    return float(done.stdout)


def _keep_best(best: dict[str, dict[str, float]], stage: str, ns: Mapping[str, float]) -> None:
    kept = best.setdefault(stage, {})
    for name, figure in ns.items():
        kept[name] = min(figure, kept.get(name, figure))


# --- as text -----------------------------------------------------------------------------


def lines(report: CallsReport) -> Iterator[str]:
    """Yield the lines of the table: a row for each stage, and what they mean below."""
    measured = [call for call in CALLED if call.name in report.stages[0].ns]
    cells = [("ns of CPU per call", *(call.words for call in measured), "records per listing")]
    for stage in report.stages:
        figures = (f"{stage.ns[call.name]:,.0f}" for call in measured)
        cells.append((stage.name, *figures, "-" if stage.records is None else f"{stage.records:,.0f}"))
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    for row in cells:
        aligned = [row[0].ljust(widths[0])]
        aligned += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join(aligned).rstrip()
    yield ""
    yield from notes(report)


def notes(report: CallsReport) -> Iterator[str]:
    """Yield sentences on what the figures mean and what limits them."""
    before, after = report.stages[0].ns["getpid"], report.stages[-1].ns["getpid"]
    if report.was_on_before:
        yield (
            'Audit was on before since the boot, so "before" has the cost that stays. To measure a host '
            "without it, boot it and run this first."
        )
    else:
        yield (
            f"getpid costs {after / before:.1f} times as much as before, and will until the next boot: "
            "switching audit off does not undo it."
        )
    for stage in report.stages:
        if stage.rules:
            ratio = stage.ns["getpid"] / before
            yield f"{stage.name}: getpid takes {ratio:.1f} times as long as before; {'; '.join(stage.rules)}"
    if report.foreign_rules:
        yield f"Audit rules of other programs were in effect all the time: {report.foreign_rules}."
    if not report.static:
        yield "exec includes dynamic linking: this host has no C library for static programs."
