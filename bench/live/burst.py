"""CPU and losses of a burst of 200,000 opens of /proc: the sensor, and a loop that discards everything.

    python bench/live/burst.py [--opens N] [--producers N] [--pairs N] [--mode NAME] [--json FILE]

Each pair is one burst read by `auditsense run` and one read by drain.c (poll, recvmmsg, count; in
src/auditsense/bench), in alternating order, with the same settings and audit rule. CPU time is that of the
reader and of the kernel thread kauditd in /proc/PID/stat, from before the burst until both are idle.
`opens/s` is the rate of the audited processes. --mode: of the sensor (`default`, or `lean` if `auditsense
run` has it).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from auditsense.bench.burst import cpu_ratio, pairs
from auditsense.bench.c_helpers import DRAIN, compiled
from auditsense.bench.consumers import MODES, has_mode
from auditsense.bench.report import machine

if TYPE_CHECKING:
    from auditsense.bench.burst import BurstResult
    from bench.live.ground import ground, write_json
else:
    from ground import ground, write_json


def print_row(result: BurstResult) -> None:
    counted = f"{result.sensor['events']:>9}" if result.sensor else f"{'':>9}"
    lost = f"{result.sensor['serials']:>9}{result.sensor['incomplete']:>11}" if result.sensor else f"{'':>20}"
    print(
        f"{result.reader:<7}{result.opens_s:>9.0f}{result.records_s:>10.0f}{result.records:>9}{counted}"
        f"{result.lost_kernel:>8}{lost}"
        f"{result.cpu.user:>8.2f}{result.cpu.system:>8.2f}{result.cpu.total:>8.2f}{result.kauditd.total:>9.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description="CPU and losses of a burst, compared with a loop that drains."
    )
    parser.add_argument("--opens", type=int, default=200_000)
    parser.add_argument("--producers", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--mode", choices=MODES, default="default")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    if not has_mode(arguments.mode):
        sys.exit(f"auditsense run of this build has no {' '.join(MODES[arguments.mode])}")
    print("                                               lost: by    CPU s of the reader")
    print(
        f"{'reader':<7}{'opens/s':>9}{'records/s':>10}{'records':>9}{'events':>9}"
        f"{'kernel':>8}{'serials':>9}{'incomplete':>11}{'user':>8}{'system':>8}{'both':>8}{'kauditd':>9}"
    )
    results: list[tuple[BurstResult, BurstResult]] = []
    with ground() as (scanner, folder):
        program = compiled(DRAIN, folder)
        plan = {"opens": arguments.opens, "producers": arguments.producers}
        for pair in pairs(scanner.command, program, arguments.pairs, mode=arguments.mode, **plan):
            for result in pair:
                print_row(result)
            results.append(pair)
    reader, kauditd = cpu_ratio(results), cpu_ratio(results, kauditd=True)
    print(f"CPU of the sensor / of the drain loop: median {reader.median:.2f}", end="")
    print(f" ({reader.low:.2f} to {reader.high:.2f}); of kauditd: median {kauditd.median:.2f}")
    figures = {
        "bench": "burst",
        "machine": machine(),
        "mode": arguments.mode,
        **plan,
        "pairs": [[asdict(result) for result in pair] for pair in results],
        "cpu_ratio": asdict(reader),
        "kauditd_ratio": asdict(kauditd),
    }
    write_json(arguments.json, figures)


if __name__ == "__main__":
    main()
