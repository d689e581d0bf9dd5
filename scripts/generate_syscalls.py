"""Write src/auditsense/syscalls.csv from the PyPI package system-calls and former_syscalls.txt.

    python3 -m venv /tmp/system-calls
    /tmp/system-calls/bin/pip install --no-deps system-calls==7.2   # jinja2 is for its HTML only
    /tmp/system-calls/bin/python scripts/generate_syscalls.py           # rewrite
    /tmp/system-calls/bin/python scripts/generate_syscalls.py --check   # compare, write nothing

The package has the calls of today's kernels; former_syscalls.txt adds removed calls and auditctl's own names.

Exit codes: 0 written or equal, 1 `--check` calls a difference, 2 no system-calls package.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "src" / "auditsense" / "syscalls.csv"
FORMER = Path(__file__).with_name("former_syscalls.txt")

# Name of a table, and the package's name. Tables that share most numbers stand next to each other.
TABLES = {
    "x86_64": "x86_64",
    "i386": "i386",
    "aarch64": "arm64",
    "arm": "arm",
    "riscv64": "riscv64",
    "ppc64": "powerpc64",
    "s390x": "s390x",
    "loongarch64": "loongarch64",
    "x32": "x32",
    "riscv32": "riscv32",
    "loongarch32": "loongarch32",
    "ppc": "powerpc",
    "s390": "s390",
    "mips": "mipso32",
    "mips64": "mips64",
    "mips64n32": "mips64n32",
    "sparc": "sparc",
    "sparc64": "sparc64",
    "parisc": "parisc",
    "parisc64": "parisc64",
    "m68k": "m68k",
    "sh": "sh",
    "sh64": "sh64",
    "microblaze": "microblaze",
    "xtensa": "xtensa",
    "arc": "arc",
    "csky": "csky",
    "hexagon": "hexagon",
    "nios2": "nios2",
    "openrisc": "openrisc",
    "c6x": "c6x",
    "h8300": "h8300",
    "nds32": "nds32",
    "unicore": "unicore32",
    "tilegx": "tile64",
    "tile": "tile",
    "cris": "cris",
    "frv": "frv",
    "m32r": "m32r",
    "alpha": "alpha",
    "ia64": "ia64",
}

# Two names of one number: the one that is shown. The other is taken in rules.
SHOWN = {"alpha": ("getxgid", "getxpid", "getxuid", "osf_shmat", "umount2"), "ia64": ("umount2",)}

Numbers = dict[str, int]


def main() -> int:
    """Write or compare; return the exit code."""
    options = argparse.ArgumentParser(description="Generate the table of syscall numbers.")
    options.add_argument("--check", action="store_true", help="exit 1 when the committed table differs")
    check: bool = options.parse_args().check
    try:
        text = table()
    except ModuleNotFoundError as missing:
        sys.stderr.write(f"{missing}: pip install --no-deps system-calls\n")
        return 2
    if not check:
        TARGET.write_text(text, encoding="ascii")
        return 0
    if TARGET.read_text(encoding="ascii") == text:
        return 0
    sys.stderr.write(f"{TARGET} differs from what system-calls gives: run without --check\n")
    return 1


def table() -> str:
    """Return the CSV: a comment line, the header, one row a name; other names of the same numbers last."""
    version = importlib.metadata.version("system-calls")
    numbers = {ours: _numbers(theirs) for ours, theirs in TABLES.items()}
    others: dict[str, Numbers] = {ours: {} for ours in TABLES}
    _add_former(numbers, others)
    for arch, shown in SHOWN.items():
        for name, number in [*numbers[arch].items()]:
            if name not in shown and number in {numbers[arch][alias] for alias in shown}:
                others[arch][name] = numbers[arch].pop(name)
    lines = [
        f"# made by scripts/generate_syscalls.py from system-calls {version} (PyPI, MIT)",
        ",".join(["name", *TABLES]),
        *_rows(numbers),
        "# other names",
        *_rows(others),
    ]
    return "\n".join(lines) + "\n"


def _rows(numbers: dict[str, Numbers]) -> list[str]:
    rows = []
    for name in sorted(set().union(*numbers.values())):
        cells = [str(calls.get(name, "")) for calls in numbers.values()]
        rows.append(",".join([name, *cells]).rstrip(","))
    return rows


def _add_former(numbers: dict[str, Numbers], others: dict[str, Numbers]) -> None:
    for line in FORMER.read_text(encoding="ascii").splitlines():
        if not line or line.startswith("#"):
            continue
        arch, *calls = line.split()
        into = numbers
        if calls[0] == "also":
            into, calls = others, calls[1:]
        for call in calls:
            name, _, number = call.partition("=")
            if name in numbers[arch] or (int(number) in numbers[arch].values() and into is numbers):
                raise SystemExit(f"{FORMER.name}: {arch} has {call} already")
            into[arch][name] = int(number)


def _numbers(arch: str) -> Numbers:
    module = importlib.import_module(f"system_calls.tables.{arch}")
    calls: Numbers = dict(getattr(module, f"syscalls_{arch}"))
    return calls


if __name__ == "__main__":
    sys.exit(main())
