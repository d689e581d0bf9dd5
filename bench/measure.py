"""Repeat all measurements: bench/results/*.json and docs/performance.md.

    python bench/measure.py [--only WORD] [--peers-root FOLDER] [--quick]

Takes about 20 minutes, as root with a usable kernel audit; without it, the committed live figures stay. Steps
that need rules of Elastic run if AUDITSENSE_ELASTIC_RULES names their folder. bench/delivery.py is not a
step: it needs the receivers of scripts/install_receivers.sh. Each step is a command that is printed and
can be run alone. A failed step is reported, its result stays, and the exit status is 1. --quick: a few
events of everything, into a temporary folder, to check that the steps work.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auditsense.bench.consumers import has_mode
from auditsense.bench.report import machine

if TYPE_CHECKING:
    from bench.write_docs import RESULTS, write
else:
    from write_docs import RESULTS, write

HERE = Path(__file__).parent
ROOT = HERE.parent
LIMIT_S = 1200


@dataclass(frozen=True)
class Step:
    """One command; the file for its figures is appended.

    Attributes:
        name: of the result.
        words: the command, without the interpreter of a script.
        quick: options for --quick.
        live: whether it needs the kernel's audit.
        here: options for this machine, not shown in the published command.
    """

    name: str
    words: tuple[str, ...]
    quick: tuple[str, ...] = ()
    live: bool = False
    here: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command as published."""
        return " ".join((() if self.words[0] == "auditsense" else ("python",)) + self.words)

    @property
    def start(self) -> tuple[str, ...]:
        """The command to start."""
        if self.words[0] == "auditsense":
            return (str(Path(sys.executable).with_name("auditsense")), *self.words[1:])
        return (sys.executable, "-E", "-s", *self.words)


def all_steps(peers_root: str) -> list[Step]:
    live = "bench/live"
    burst = (f"{live}/burst.py", "--pairs", "5")
    opens = ("--opens", "20000", "--pairs", "1")
    trials = ("--trials", "5")
    steps = [
        Step("core", ("-m", "pytest", "bench", "-q", "--benchmark-quiet"), ("-k", "record")),
        Step("counts", ("bench/counts.py",), ("--events", "1000")),
        Step("adversarial", ("bench/adversarial.py",), ("--records", "3000", "--pairs", "1")),
        Step(
            "peers",
            ("bench/peers/run.py", "--rounds", "3"),
            ("--events", "2000"),
            here=("--root", peers_root),
        ),
        Step(
            "events",
            ("bench/events.py",),
            ("--events", "2000", "--turns", "1"),
            here=("--root", peers_root),
        ),
        Step("loops", ("bench/loops.py",), ("--events", "2000", "--pairs", "1")),
        Step("bench", ("auditsense", "bench", "--offline"), ("--events", "20000")),
        Step("burst-1", burst, opens, live=True),
        Step("burst-2", (*burst, "--producers", "2"), opens, live=True),
        Step(
            "latency-idle", (f"{live}/latency.py", "--trials", "200", "--period-ms", "5"), trials, live=True
        ),
        Step("calls", ("auditsense", "bench", "calls", "--rounds", "9"), ("--rounds", "1"), live=True),
        Step("ordinary_day", (f"{live}/ordinary_day.py",), ("--only", "ps aux"), live=True),
        Step("latency-flood", (f"{live}/latency.py", "--trials", "200", "--flood"), trials, live=True),
        Step(
            "auditd-1",
            (f"{live}/auditd.py", "--rounds", "3"),
            ("--opens", "20000", "--rounds", "1"),
            live=True,
            here=("--root", peers_root),
        ),
        Step(
            "auditd-2",
            (f"{live}/auditd.py", "--rounds", "3", "--producers", "2"),
            ("--opens", "20000", "--rounds", "1"),
            live=True,
            here=("--root", peers_root),
        ),
        Step("spent-1", (f"{live}/cpu_profile.py", "--producers", "1"), ("--opens", "20000"), live=True),
        Step("spent-2", (f"{live}/cpu_profile.py", "--producers", "2"), ("--opens", "20000"), live=True),
        Step("replay-spent", ("bench/replay_cpu_profile.py",), ("--events", "2000", "--rounds", "2")),
        Step("startup", (f"{live}/startup.py", "--starts", "15"), ("--starts", "2"), live=True),
        Step("arguments", (f"{live}/arguments.py",), ("--execs", "200"), live=True),
    ]
    if os.environ.get("AUDITSENSE_ELASTIC_RULES"):
        quick = ("--files", "5", "--idle", "1")
        steps += [
            Step("detections", ("bench/detections.py",), ("--events", "2000", "--rounds", "1")),
            Step("compiling", (f"{live}/compiling.py",), quick, live=True),
        ]
    if has_mode("lean"):
        steps += [
            Step("burst-lean-1", (*burst, "--mode", "lean"), opens, live=True),
            Step("burst-lean-2", (*burst, "--mode", "lean", "--producers", "2"), opens, live=True),
            Step(
                "latency-lean-flood",
                (f"{live}/latency.py", "--trials", "200", "--flood", "--mode", "lean"),
                trials,
                live=True,
            ),
        ]
    return steps


def condensed(figures: dict[str, Any]) -> dict[str, Any]:
    """Return pytest-benchmark's figures without those of single rounds."""
    rows = [
        {
            "name": f"{row['fullname'].partition('::')[0].rpartition('/')[2]} {row['name']}",
            "events": row["extra_info"].get("events"),
            "ns_per_event": row["extra_info"].get("ns_per_event"),
            "least_s": row["stats"]["min"],
            "median_s": row["stats"]["median"],
            "most_s": row["stats"]["max"],
            "rounds": row["stats"]["rounds"],
        }
        for row in figures["benchmarks"]
    ]
    return {"bench": "core", "machine": machine(), "rows": rows}


def run(step: Step, folder: Path, *, quick: bool) -> bool:
    """Run one step; keep its result if it has one."""
    with tempfile.TemporaryDirectory(prefix="auditsense-measure-") as name:
        result = Path(name) / "result.json"
        target = ("--benchmark-json", str(result)) if step.name == "core" else ("--json", str(result))
        print(f"== {step.name}: {step.command}", flush=True)
        started = time.monotonic()
        command = [*step.start, *step.here, *(step.quick if quick else ()), *target]
        code = subprocess.run(command, cwd=ROOT, check=False, timeout=LIMIT_S).returncode
        print(f"   {time.monotonic() - started:.0f} s", flush=True)
        # A wrong count or a missing alert is a result too.
        if not result.exists():
            print(f"FAILED: {step.name} ended with {code} and no figures", flush=True)
            return False
        figures = json.loads(result.read_text(encoding="utf-8"))
    figures = condensed(figures) if step.name == "core" else figures
    figures["command"] = step.command
    (folder / f"{step.name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return code == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Repeat all measurements.")
    parser.add_argument("--only", default="", metavar="WORD", help="only steps whose name contains WORD")
    parser.add_argument("--peers-root", default="/", metavar="FOLDER", help="see bench/peers/run.py")
    parser.add_argument("--quick", action="store_true", help="few events, no results kept")
    arguments = parser.parse_args()
    succeeded = True
    with tempfile.TemporaryDirectory(prefix="auditsense-quick-") as name:
        folder = Path(name) if arguments.quick else RESULTS
        folder.mkdir(exist_ok=True)
        for step in all_steps(arguments.peers_root):
            if arguments.only not in step.name:
                continue
            if step.live and os.geteuid() != 0:
                print(f"== {step.name}: skipped: not root")
                continue
            succeeded = run(step, folder, quick=arguments.quick) and succeeded
        if not arguments.quick:
            write()
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
