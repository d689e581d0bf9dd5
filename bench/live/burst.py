"""What a burst costs and loses: 200,000 opens of /proc, the sensor beside a loop that throws all away.

    python bench/live/burst.py [--opens N] [--producers N] [--pairs N] [--mode NAME] [--json FILE]

Each pair is one burst read by `auditsense run` and one read by drain.c (poll, recvmmsg, count; in
src/auditsense/bench), in turns of order, with the same settings and audit rule. CPU time is what
/proc/PID/stat says of the reader, and of the kernel thread kauditd, from before the burst until both rest.
`opens/s` is how fast the audited processes went meanwhile. --mode: how the sensor is run (`default`, or
`lean` where `auditsense run` has it); the loop stays the same.
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


def print_row(one: BurstResult) -> None:
    counted = f"{one.sensor['events']:>9}" if one.sensor else f"{'':>9}"
    lost = f"{one.sensor['serials']:>9}{one.sensor['incomplete']:>11}" if one.sensor else f"{'':>20}"
    print(
        f"{one.reader:<7}{one.opens_s:>9.0f}{one.records_s:>10.0f}{one.records:>9}{counted}"
        f"{one.lost_kernel:>8}{lost}"
        f"{one.cpu.user:>8.2f}{one.cpu.system:>8.2f}{one.cpu.total:>8.2f}{one.kauditd.total:>9.2f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost and loss of a burst, beside a loop that only drains.")
    parser.add_argument("--opens", type=int, default=200_000)
    parser.add_argument("--producers", type=int, default=1)
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--mode", choices=MODES, default="default")
    parser.add_argument("--json", metavar="FILE")
    wanted = parser.parse_args()
    if not has_mode(wanted.mode):
        sys.exit(f"auditsense run of this build has no {' '.join(MODES[wanted.mode])}")
    print("                                               lost: by    CPU s of the reader")
    print(
        f"{'reader':<7}{'opens/s':>9}{'records/s':>10}{'records':>9}{'events':>9}"
        f"{'kernel':>8}{'serials':>9}{'incomplete':>11}{'user':>8}{'system':>8}{'both':>8}{'kauditd':>9}"
    )
    found: list[tuple[BurstResult, BurstResult]] = []
    with ground() as (scanner, folder):
        program = compiled(DRAIN, folder)
        plan = {"opens": wanted.opens, "producers": wanted.producers}
        for pair in pairs(scanner.command, program, wanted.pairs, mode=wanted.mode, **plan):
            for one in pair:
                print_row(one)
            found.append(pair)
    reader, kauditd = cpu_ratio(found), cpu_ratio(found, kauditd=True)
    print(f"CPU of the sensor / of the draining loop: median {reader.median:.2f}", end="")
    print(f" ({reader.low:.2f} to {reader.high:.2f}); of kauditd: median {kauditd.median:.2f}")
    figures = {
        "bench": "burst",
        "machine": machine(),
        "mode": wanted.mode,
        **plan,
        "pairs": [[asdict(one) for one in pair] for pair in found],
        "cpu_ratio": asdict(reader),
        "kauditd_ratio": asdict(kauditd),
    }
    write_json(wanted.json, figures)


if __name__ == "__main__":
    main()
