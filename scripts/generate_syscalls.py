"""Write src/auditsense/syscalls.csv from the PyPI package system-calls.

    python3 -m venv /tmp/system-calls
    /tmp/system-calls/bin/pip install --no-deps system-calls==7.2   # jinja2 is for its HTML only
    /tmp/system-calls/bin/python scripts/generate_syscalls.py           # rewrite
    /tmp/system-calls/bin/python scripts/generate_syscalls.py --check   # compare, write nothing

Exit codes: 0 written or equal, 1 `--check` found a difference, 2 no system-calls package.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "src" / "auditsense" / "syscalls.csv"

# Audit's name of an architecture, and the package's.
ARCHES = {
    "x86_64": "x86_64",
    "i386": "i386",
    "aarch64": "arm64",
    "arm": "arm",
    "riscv64": "riscv64",
    "ppc64le": "powerpc64",
    "s390x": "s390x",
    "loongarch64": "loongarch64",
}

# The kernel's rule mask ends here (AUDIT_BITMASK_SIZE * 32 - AUDIT_SYSCALL_CLASSES):
# ARM's private calls above it can be in no rule.
FIRST_OUTSIDE_MASK = 64 * 32 - 16


def main() -> int:
    """Write or compare; return the exit code."""
    options = argparse.ArgumentParser(description="Generate the table of syscall numbers.")
    options.add_argument("--check", action="store_true", help="exit 1 when the committed table differs")
    check: bool = options.parse_args().check
    try:
        made = table()
    except ModuleNotFoundError as missing:
        sys.stderr.write(f"{missing}: pip install --no-deps system-calls\n")
        return 2
    if not check:
        TARGET.write_text(made, encoding="ascii")
        return 0
    if TARGET.read_text(encoding="ascii") == made:
        return 0
    sys.stderr.write(f"{TARGET} differs from what system-calls gives: run without --check\n")
    return 1


def table() -> str:
    """Return the CSV: a comment line, the header, one row a syscall name, sorted by name."""
    version = importlib.metadata.version("system-calls")
    numbers = {ours: _numbers(theirs) for ours, theirs in ARCHES.items()}
    lines = [
        f"# made by scripts/generate_syscalls.py from system-calls {version} (PyPI, MIT)",
        ",".join(["name", *ARCHES]),
    ]
    for name in sorted(set().union(*numbers.values())):
        row = [str(numbers[arch].get(name, "")) for arch in ARCHES]
        lines.append(",".join([name, *row]))
    return "\n".join(lines) + "\n"


def _numbers(arch: str) -> dict[str, int]:
    module = importlib.import_module(f"system_calls.tables.{arch}")
    found: dict[str, int] = getattr(module, f"syscalls_{arch}")
    return {name: number for name, number in found.items() if number < FIRST_OUTSIDE_MASK}


if __name__ == "__main__":
    sys.exit(main())
