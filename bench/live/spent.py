"""Where the CPU goes: perf over one burst each, the sensor and the loop that throws all away.

    python bench/live/spent.py [--opens N] [--producers N] [--mode NAME] [--json FILE]

Shares of the samples of each process, by function with all that it calls (perf record -g, cpu-clock), times
the CPU time that /proc says it took, by the opens: µs an event. perf's own weight is in them, on both sides,
so these figures explain the ratio of burst.py and do not replace it.
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
# By function, with all that it calls; those that are within another one are shown beneath it.
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
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=END_LIMIT_S)
    return [line for line in said.stdout.splitlines() if line and not line.startswith("#")]


def shares(data: Path) -> dict[str, float]:
    """Return each part's share of all samples, 0 to 1."""
    symbols: dict[str, float] = {}
    for line in report(data, "--children"):
        if found := LINE.match(line):
            symbols[found["symbol"]] = max(symbols.get(found["symbol"], 0.0), float(found["share"]) / 100)
    objects = [
        found for line in report(data, "--no-children", "--sort", "dso") if (found := OBJECT.match(line))
    ]
    parts = {
        name: sum(share for symbol, share in symbols.items() if re.fullmatch(pattern, symbol))
        for name, pattern in PARTS.items()
    }
    return parts | {
        name: sum(float(one["share"]) for one in objects if re.search(pattern, one["name"])) / 100
        for name, pattern in OWN.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Where the CPU of a burst goes.")
    parser.add_argument("--opens", type=int, default=200_000)
    parser.add_argument("--producers", type=int, default=2)
    parser.add_argument("--mode", choices=MODES, default="default")
    parser.add_argument("--json", metavar="FILE")
    wanted = parser.parse_args()
    if shutil.which("perf") is None:
        sys.exit("there is no perf here (Debian: linux-perf)")
    rows = []
    with ground() as (scanner, folder):
        program = compiled(DRAIN, folder)
        for name in ("sensor", "drain"):
            data = folder / f"{name}.perf"
            with drain(program) if name == "drain" else sensor(wanted.mode) as reader:
                words = ["-q", "-e", "cpu-clock", "-F", "2000", "-g", "-p", str(reader.pid), "-o", str(data)]
                with subprocess.Popen(["perf", "record", *words], stderr=subprocess.DEVNULL) as perf:
                    time.sleep(ATTACH_S)
                    one = burst(reader, scanner.command, wanted.opens, wanted.producers)
                    perf.send_signal(signal.SIGINT)
                    perf.wait(END_LIMIT_S)
            cpu_us = one.cpu.total / one.opens * 1e6
            found = {part: share * cpu_us for part, share in shares(data).items()}
            print(f"{name}: {cpu_us:.2f} µs an event, {one.opens_s} opens/s, lost {one.lost_kernel}")
            for part, us in found.items():
                print(f"  {us:5.2f} µs  {part}", flush=True)
            rows.append({"reader": name, "cpu_us": cpu_us, "opens_s": one.opens_s, "parts_us": found})
    write_json(
        wanted.json,
        {
            "bench": "spent",
            "machine": machine(),
            "mode": wanted.mode,
            "opens": wanted.opens,
            "producers": wanted.producers,
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
