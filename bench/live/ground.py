"""Shared parts of the live benchmarks: exclusive use of the kernel's audit, and the file of figures."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[2]

if TYPE_CHECKING:
    from collections.abc import Iterator

sys.path.insert(0, str(ROOT))

from tests.live.host_guard import exclusive, guardian, host_state, why_not  # noqa: E402
from tests.live.workloads import Scanner, compiled_scanner  # noqa: E402


@contextmanager
def ground() -> Iterator[tuple[Scanner, Path]]:
    """Hold the kernel's audit exclusively; yield a scanner and a folder for compiled programs.

    However the block ends, a separate process restores the host.
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
            sys.exit("the host was not restored")


def write_json(path: str | None, figures: dict[str, Any]) -> None:
    """Write figures to a file, if there is one."""
    if path is not None:
        Path(path).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
