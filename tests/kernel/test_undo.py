"""Whether the owner of the socket lives: a process that has begun to end does not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from auditsense.kernel.undo import lives

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("stat", "alive"),
    [
        ("7 (python3) S 1 7 7 0 -1 4194560 0 0", True),
        ("7 (python3) T 1 7 7 0 -1 4194560 0 0", True),
        ("7 (python3) R 1 7 7 0 -1 4194564 0 0", False),  # PF_EXITING
        ("7 (python3) D 1 7 7 0 -1 4 0 0", False),
        ("7 (python3) Z 1 7 7 0 -1 4194560 0 0", False),
        ("7 (python3) X 1 7 7 0 -1 4194560 0 0", False),
        ("7 (a) Z 1 7 7 0 -1 4 0 (b) S 1 7 7 0 -1 4194560 0 0", True),  # a name may hold anything
    ],
)
def test_a_process_that_ends_does_not_live(tmp_path: Path, stat: str, *, alive: bool) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7" / "stat").write_text(stat)
    assert lives(7, tmp_path) is alive


def test_a_pid_that_no_process_has_does_not_live(tmp_path: Path) -> None:
    assert not lives(7, tmp_path)


def test_this_process_lives() -> None:
    assert lives(os.getpid())
