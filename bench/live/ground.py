"""What the live benchmarks share: the machine for themselves, put back afterwards, and figures."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

LIVE_TESTS = Path(__file__).resolve().parents[2] / "tests" / "live"

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.live.guarded import exclusive, guardian, host_state, why_not
    from tests.live.loads import Scanner, compiled_scanner
else:  # the lock, the guardian and the loads are those of the live tests
    sys.path.insert(0, str(LIVE_TESTS))
    from guarded import exclusive, guardian, host_state, why_not
    from loads import Scanner, compiled_scanner


@contextmanager
def ground() -> Iterator[tuple[Scanner, Path]]:
    """Have the kernel's audit to ourselves; give a scanner and a folder for what is compiled.

    However the block ends, a process beside this one puts the host back.
    """
    if os.geteuid() != 0:
        sys.exit("live benchmarks need root")
    with tempfile.TemporaryDirectory(prefix="auditsense-bench-") as folder, exclusive() as lock:
        reason = why_not()
        if reason is not None:
            sys.exit(f"no live kernel audit: {reason}")
        scanner = compiled_scanner(Path(folder))
        if scanner is None:
            sys.exit("live benchmarks need a C compiler")
        before = host_state()
        with guardian(lock.fileno()):
            yield scanner, Path(folder)
        if host_state() != before:
            sys.exit("the host is not as it was before")


def write_json(path: str | None, figures: dict[str, Any]) -> None:
    """Write figures to a file, if one is wanted."""
    if path is not None:
        Path(path).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
