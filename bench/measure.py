"""Measure everything again: bench/results/*.json and docs/performance.md, in one command.

    python bench/measure.py [--only WORD] [--peers-root FOLDER] [--quick]

About 20 minutes, as root with a usable kernel audit; elsewhere the live figures stay as they were
committed. Each step is a command that can be run alone, and is printed. A step that fails is said, its
result is left as it was, and the exit status is 1. --quick: a few events of everything, into a temporary
folder, to see that the steps work.
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
    """One command; its last word will be the file that its figures go to.

    Attributes:
        name: of the result.
        words: the command, without the interpreter in front of a script.
        quick: added for --quick.
        live: needs the kernel's audit.
        here: added on this machine, and of no interest to a reader.
    """

    name: str
    words: tuple[str, ...]
    quick: tuple[str, ...] = ()
    live: bool = False
    here: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """The command as a person types it."""
        return " ".join((() if self.words[0] == "auditsense" else ("python",)) + self.words)

    @property
    def start(self) -> tuple[str, ...]:
        """The words that start it."""
        if self.words[0] == "auditsense":
            return (str(Path(sys.executable).with_name("auditsense")), *self.words[1:])
        return (sys.executable, "-E", "-s", *self.words)


def steps(peers_root: str) -> list[Step]:
    live = "bench/live"
    burst = (f"{live}/burst.py", "--pairs", "5")
    opens = ("--opens", "20000", "--pairs", "1")
    trials = ("--trials", "5")
    found = [
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
        Step("spent-1", (f"{live}/spent.py", "--producers", "1"), ("--opens", "20000"), live=True),
        Step("spent-2", (f"{live}/spent.py", "--producers", "2"), ("--opens", "20000"), live=True),
        Step("replay-spent", ("bench/replay_spent.py",), ("--events", "2000", "--rounds", "2")),
        Step("startup", (f"{live}/startup.py", "--starts", "15"), ("--starts", "2"), live=True),
    ]
    if has_mode("lean"):
        found += [
            Step("burst-lean-1", (*burst, "--mode", "lean"), opens, live=True),
            Step("burst-lean-2", (*burst, "--mode", "lean", "--producers", "2"), opens, live=True),
            Step(
                "latency-lean-flood",
                (f"{live}/latency.py", "--trials", "200", "--flood", "--mode", "lean"),
                trials,
                live=True,
            ),
        ]
    return found


def condensed(figures: dict[str, Any]) -> dict[str, Any]:
    """Return what is kept of pytest-benchmark's figures: they hold every round."""
    rows = [
        {
            "name": f"{one['fullname'].partition('::')[0].rpartition('/')[2]} {one['name']}",
            "events": one["extra_info"].get("events"),
            "ns_per_event": one["extra_info"].get("ns_per_event"),
            "least_s": one["stats"]["min"],
            "median_s": one["stats"]["median"],
            "most_s": one["stats"]["max"],
            "rounds": one["stats"]["rounds"],
        }
        for one in figures["benchmarks"]
    ]
    return {"bench": "core", "machine": machine(), "rows": rows}


def run(step: Step, folder: Path, *, quick: bool) -> bool:
    """Run one step; keep its result only when it has ended well."""
    with tempfile.TemporaryDirectory(prefix="auditsense-measure-") as name:
        made = Path(name) / "result.json"
        target = ("--benchmark-json", str(made)) if step.name == "core" else ("--json", str(made))
        print(f"== {step.name}: {step.command}", flush=True)
        started = time.monotonic()
        command = [*step.start, *step.here, *(step.quick if quick else ()), *target]
        code = subprocess.run(command, cwd=ROOT, check=False, timeout=LIMIT_S).returncode
        print(f"   {time.monotonic() - started:.0f} s", flush=True)
        # A count that is not as it has to be, or an alert that did not come, is a result as well.
        if not made.exists():
            print(f"FAILED: {step.name} ended with {code} and no figures", flush=True)
            return False
        figures = json.loads(made.read_text(encoding="utf-8"))
    figures = condensed(figures) if step.name == "core" else figures
    figures["command"] = step.command
    (folder / f"{step.name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    return code == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure everything again.")
    parser.add_argument("--only", default="", metavar="WORD", help="the steps whose name has this")
    parser.add_argument("--peers-root", default="/", metavar="FOLDER", help="see bench/peers/run.py")
    parser.add_argument("--quick", action="store_true", help="few events, nothing kept")
    wanted = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory(prefix="auditsense-quick-") as name:
        folder = Path(name) if wanted.quick else RESULTS
        folder.mkdir(exist_ok=True)
        for step in steps(wanted.peers_root):
            if wanted.only not in step.name:
                continue
            if step.live and os.geteuid() != 0:
                print(f"== {step.name}: left as it was: not root")
                continue
            good = run(step, folder, quick=wanted.quick) and good
        if not wanted.quick:
            write()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
