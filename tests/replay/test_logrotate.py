"""A log with what was rotated from it: oldest first, each once, others reported."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense import InputError
from auditsense.cli import main
from auditsense.replay.logrotate import RotatedLog
from auditsense.testing import burst

PROGRAM = Path(sys.executable).with_name("auditsense")
SCAN = burst(12)
PIECES = [b"".join(event.text for event in SCAN[at : at + 3]) for at in range(0, 12, 3)]
"""What only in this order is an alert, and only when each is read once."""


def files(folder: Path, *names: str) -> Path:
    for name in names:
        folder.joinpath(name).write_bytes(b"type=x\n")
    return folder


def listed(folder: Path, name: str = "") -> tuple[list[str], list[str]]:
    """Return the names taken, in order, and the warnings."""
    warnings: list[str] = []
    names = RotatedLog(str(folder / name), warnings.append).names
    return [Path(path).name for path in names], [warning.replace(f"{folder}/", "") for warning in warnings]


def test_rotated_numbers_descend_and_log_is_last(tmp_path: Path) -> None:
    files(
        tmp_path,
        "audit.log",
        "audit.log.1",
        "audit.log.10",
        "audit.log.2",
        "audit.log.9.gz",
        "audit.log.11.zst",
    )
    wanted = ["audit.log.11.zst", "audit.log.10", "audit.log.9.gz", "audit.log.2", "audit.log.1", "audit.log"]
    assert listed(tmp_path) == (wanted, [])
    assert listed(tmp_path, "audit.log") == (wanted, [])


@given(numbers=st.sets(st.integers(1, 10**9 - 1), min_size=1, max_size=9))
def test_any_rotated_numbers_descend(numbers: set[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = files(tmp_path_factory.mktemp("log"), *(f"audit.log.{number}" for number in numbers))
    assert listed(folder) == ([f"audit.log.{number}" for number in sorted(numbers, reverse=True)], [])


def test_rotated_dates_ascend(tmp_path: Path) -> None:
    files(tmp_path, "a.log", "a.log-20261103.gz", "a.log-20260930.gz", "a.log-20261104", "other.log.1")
    assert listed(tmp_path, "a.log")[0] == [
        "a.log-20260930.gz",
        "a.log-20261103.gz",
        "a.log-20261104",
        "a.log",
    ]


def test_rotated_files_are_listed_once_others_reported(tmp_path: Path) -> None:
    files(
        tmp_path, "audit.log", "audit.log.1", "audit.log.1.gz", "audit.log.2.gz", "audit.log.bak", "messages"
    )
    (tmp_path / "audit.log.3").symlink_to(tmp_path / "audit.log.1")
    (tmp_path / "audit.log.4").mkdir()
    os.mkfifo(tmp_path / "audit.log.5")
    names, warnings = listed(tmp_path)
    assert names == ["audit.log.2.gz", "audit.log.1", "audit.log"]
    assert warnings == [
        "audit.log.bak is left out: no number says where it belongs",
        "audit.log.5 is left out: it is not a file",
        "audit.log.4 is left out: it is not a file",
        "audit.log.3 is left out: it is another file's second name",
        "audit.log.1.gz is left out: audit.log.1 exists",
    ]


def test_empty_rotated_file_is_skipped(tmp_path: Path) -> None:
    files(tmp_path, "audit.log.1")
    (tmp_path / "audit.log").touch()  # as just after a rotation
    assert listed(tmp_path) == (["audit.log.1"], [])


def test_rotation_while_reading_is_noticed(tmp_path: Path) -> None:
    logs = RotatedLog(str(files(tmp_path, "audit.log", "audit.log.1")), print)
    with (tmp_path / "audit.log").open("ab") as file:
        file.write(b"more\n")
    assert not logs.changed()
    (tmp_path / "audit.log.1").rename(tmp_path / "audit.log.2")
    (tmp_path / "audit.log").rename(tmp_path / "audit.log.1")
    assert logs.changed()
    for path in tmp_path.iterdir():
        path.unlink()
    assert logs.changed()


def test_folder_without_log_is_an_error(tmp_path: Path) -> None:
    for path, what in (
        (tmp_path, f"{tmp_path}: there is no audit.log in this folder"),
        (tmp_path / "some.log", f"{tmp_path}/some.log: No such file"),
        (tmp_path / "none" / "some.log", f"{tmp_path}/none: No such file"),
    ):
        with pytest.raises(InputError) as raised:
            RotatedLog(str(path), print)
        assert str(raised.value).startswith(what)
    (tmp_path / "audit.log").touch()
    with pytest.raises(InputError, match=r"audit\.log is empty"):
        RotatedLog(str(tmp_path), print)


# --- the command -----------------------------------------------------------------------------


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    (tmp_path / "audit.log.10.gz").write_bytes(gzip.compress(PIECES[0]))
    for name, piece in zip(("audit.log.2", "audit.log.1", "audit.log"), PIECES[1:], strict=True):
        (tmp_path / name).write_bytes(piece)
    return tmp_path


@pytest.mark.parametrize("words", [[""], ["audit.log", "--rotated"]])
def test_folder_with_rotated_log_is_one_stream(
    logs: Path, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "-o", "count", str(logs / words[0]), *words[1:]]) == 0
    out, err = capsys.readouterr()
    counts = json.loads(out)
    assert (counts["alerts"], counts["events"], counts["late"], err) == (1, 12, 0, "")


def test_shell_order_of_logs_is_reported(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(path) for path in sorted(logs.iterdir())]
    assert main(["replay", "-o", "count", *names]) == 0
    warnings = capsys.readouterr().err.splitlines()
    assert warnings[0] == (
        f"auditsense: {logs}/audit.log.1 begins before {logs}/audit.log, which was read before it; "
        "logs of a host go oldest first"
    )
    assert len(warnings) == 2  # the other: .10.gz


def test_misleading_rotation_number_is_reported(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (logs / "audit.log.2").rename(logs / "audit.log.11")
    assert main(["replay", "-o", "count", str(logs)]) == 0
    assert "audit.log.10.gz begins before" in capsys.readouterr().err


def test_empty_folder_is_one_line(tmp_path: Path) -> None:
    ran = subprocess.run(
        [PROGRAM, "replay", tmp_path], capture_output=True, text=True, timeout=300, check=False
    )
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.count("\n") == 1
    assert "there is no audit.log in this folder" in ran.stderr
