"""CPU profile of one burst each: the sensor, and the loop that discards everything.

    python bench/live/cpu_profile.py [--opens N] [--producers N] [--mode NAME] [--json FILE]

perf's share of samples of each function including its callees (perf record -g, cpu-clock), times the CPU time
of the process from /proc, divided by the opens: µs per event. Both sides include the cost of perf, so these
figures explain the ratio of burst.py and do not replace it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

from auditsense.bench.burst import burst
from auditsense.bench.c_helpers import DRAIN, compiled
from auditsense.bench.consumers import MODES, drain, sensor
from auditsense.bench.report import machine

if TYPE_CHECKING:
    from pathlib import Path

    from bench.live.ground import ground, write_json
else:
    from ground import ground, write_json

ATTACH_S: Final = 0.5
END_LIMIT_S: Final = 60
# By function with its callees; parts of another one follow it.
PARTS: Final = {
    "recvmmsg": "__x64_sys_recvmmsg|__arm64_sys_recvmmsg",
    "of it, copying the records": "skb_copy_datagram_iter",
    "of it, freeing them": "consume_skb",
    "of it, the kernel's way to the next one": "skb_recv_datagram",
    "of it, fetching and checking where to": "copy_msghdr_from_user",
    "of it, saying who sent it": "move_addr_to_user",
    "waiting: poll, sleep, being switched": "__x64_sys_poll|__x64_sys_clock_nanosleep|__x64_sys_ppoll",
}
OWN: Final = {"the core": r"_ffi", "Python": r"libpython|^python|_struct|_cffi_backend"}
LINE: Final = re.compile(r"^\s*(?P<share>[\d.]+)%\s+[\d.]+%\s+.*\[[.k]\]\s+(?P<symbol>\S+)")
OBJECT: Final = re.compile(r"^\s*(?P<share>[\d.]+)%\s+(?P<name>\S+)")


def report(data: Path, *words: str) -> list[str]:
    command = ["perf", "report", "-i", str(data), "--stdio", "-g", "none", *words]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=END_LIMIT_S).stdout
    return [line for line in printed.splitlines() if line and not line.startswith("#")]


def shares(data: Path) -> dict[str, float]:
    """Return each part's share of all samples, 0 to 1."""
    symbols: dict[str, float] = {}
    for line in report(data, "--children"):
        if match := LINE.match(line):
            symbols[match["symbol"]] = max(symbols.get(match["symbol"], 0.0), float(match["share"]) / 100)
    objects = [
        match for line in report(data, "--no-children", "--sort", "dso") if (match := OBJECT.match(line))
    ]
    parts = {
        name: sum(share for symbol, share in symbols.items() if re.fullmatch(pattern, symbol))
        for name, pattern in PARTS.items()
    }
    return parts | {
        name: sum(float(match["share"]) for match in objects if re.search(pattern, match["name"])) / 100
        for name, pattern in OWN.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU profile of a burst.")
    parser.add_argument("--opens", type=int, default=200_000)
    parser.add_argument("--producers", type=int, default=2)
    parser.add_argument("--mode", choices=MODES, default="default")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    if shutil.which("perf") is None:
        sys.exit("perf is not installed (Debian: linux-perf)")
    rows = []
    with ground() as (scanner, folder):
        program = compiled(DRAIN, folder)
        for name in ("sensor", "drain"):
            data = folder / f"{name}.perf"
            with drain(program) if name == "drain" else sensor(arguments.mode) as reader:
                words = ["-q", "-e", "cpu-clock", "-F", "2000", "-g", "-p", str(reader.pid), "-o", str(data)]
                with subprocess.Popen(["perf", "record", *words], stderr=subprocess.DEVNULL) as perf:
                    time.sleep(ATTACH_S)
                    result = burst(reader, scanner.command, arguments.opens, arguments.producers)
                    perf.send_signal(signal.SIGINT)
                    perf.wait(END_LIMIT_S)
            cpu_us = result.cpu.total / result.opens * 1e6
            parts = {part: share * cpu_us for part, share in shares(data).items()}
            print(f"{name}: {cpu_us:.2f} µs an event, {result.opens_s} opens/s, lost {result.lost_kernel}")
            for part, us in parts.items():
                print(f"  {us:5.2f} µs  {part}", flush=True)
            rows.append({"reader": name, "cpu_us": cpu_us, "opens_s": result.opens_s, "parts_us": parts})
    write_json(
        arguments.json,
        {
            "bench": "spent",
            "machine": machine(),
            "mode": arguments.mode,
            "opens": arguments.opens,
            "producers": arguments.producers,
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
