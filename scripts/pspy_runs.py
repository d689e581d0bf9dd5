"""Run real pspy many times, on the host and in containers, and count the alerts of Elastic's rule.

    python scripts/pspy_runs.py PSPY [RUNS]

As root, on a host with kernel audit and without another sensor. PSPY is a static build, made with
CGO_ENABLED=0 go build. Each run lasts three seconds and has a copy of the program for itself, ten at a time.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.live.scan_ways import AS_OTHER, NEW_NAMESPACE, Programs
from tests.live.workloads import command

if TYPE_CHECKING:
    from collections.abc import Sequence

PLACES = ("host", "user namespace", "runc")
AT_ONCE = 10
NO_WATCHES = ("--recursive_dirs", "/opt/none")
"""Without them pspy first walks through half of the host, before it lists processes."""
RUN_S = 3.0
SETTLE_S = 3.0


def main(arguments: Sequence[str]) -> int:
    """Run, and print one line for each place."""
    if os.geteuid() != 0 or not arguments:
        print("pspy_runs: needs root and the path of a static pspy; see its first lines", file=sys.stderr)
        return 1
    pspy, runs = Path(arguments[0]), int(arguments[1]) if len(arguments) > 1 else 100
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pspy-", dir="/opt")))
        folder.chmod(0o755)
        config = folder / "auditsense.toml"
        config.write_text("[alerts]\nmax_alerts = 10000\n", encoding="utf-8")
        copies = {place: [folder / f"{place[:4]}{n}" for n in range(runs)] for place in PLACES}
        sensor = stack.enter_context(
            command("run", "--format", "jsonl", "--self-test", "0", "--config", str(config))
        )
        sensor.wait_until_ready()
        for place, paths in copies.items():
            for first in range(0, runs, AT_ONCE):
                run_at_once(place, pspy, paths[first : first + AT_ONCE])
        time.sleep(SETTLE_S)
        documents = [json.loads(line) for line in sensor.printed.splitlines()]
    alerts = [one for one in documents if one["event"]["kind"] == "alert"]
    for place, paths in copies.items():
        own = [alert for alert in alerts if _program(alert) in paths]
        found = {alert["process"]["executable"] for alert in own if alert["rule"]["id"] == "pspy"}
        print(f"{place}: Elastic's rule found {len(found)} of {runs}; {len(own)} alerts")
    return 0


def _program(alert: dict[str, Any]) -> Path:
    """Return the executable of an alert; a report of the sensor about itself has none."""
    return Path(alert.get("process", {}).get("executable", ""))


def run_at_once(place: str, pspy: Path, paths: Sequence[Path]) -> None:
    """Run copies of pspy for a while."""
    with contextlib.ExitStack() as stack:
        processes = []
        for path in paths:
            shutil.copy(pspy, path)
            words = [str(path), *NO_WATCHES]
            if place == "user namespace":
                words = [*AS_OTHER, *NEW_NAMESPACE, "--user", "--map-current-user", *words]
            elif place == "runc":
                bundle = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                words = Programs.container(bundle, words)
            else:
                words = [*AS_OTHER, *words]
            timed = ["timeout", "--signal=KILL", str(RUN_S), *words]
            processes.append(
                subprocess.Popen(timed, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/")
            )
        for process in processes:
            process.wait()
        if place == "runc":
            end_what_is_left(paths)
        for path in paths:
            path.unlink()


def end_what_is_left(paths: Sequence[Path]) -> None:
    """Kill the programs of containers whose runtime was killed."""
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if process.name.isdigit() and (process / "exe").readlink().name in {path.name for path in paths}:
                os.kill(int(process.name), 9)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
