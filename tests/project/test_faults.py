"""The fault table: each row has its test, each test its row."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import faults
from tests.support.faults import COLUMNS, TABLE, Faults, names_in_tests, written

if TYPE_CHECKING:
    from pathlib import Path

AGAIN = "run `pytest --write-faults` as root on a machine with kernel audit, and commit docs/faults.md"


def test_rows_and_tests_match() -> None:
    assert {row[0]: row[-1] for row in written()} == names_in_tests(), AGAIN


def test_there_are_75_faults_at_least_and_no_cell_is_empty() -> None:
    rows = written()
    assert len(rows) >= 75
    assert len({row[0] for row in rows}) == len(rows)
    assert sum("tests/live/" in row[-1] for row in rows) >= 15
    for row in rows:
        assert all(cell.strip() for cell in row), row[0]
        assert len(row) == len(COLUMNS)


def test_page_has_one_heading_and_six_lines_per_fault() -> None:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    count = len(written())
    assert sum(line.startswith("### ") for line in lines) == count
    assert sum(line.startswith("- ") for line in lines) == count * (len(COLUMNS) - 1)
    assert not any(line.startswith("|") for line in lines)  # a table of seven columns scrolls sideways


def report(nodeid: str, name: str, outcome: str = "passed") -> pytest.TestReport:
    row = (name, "how", "did", "lost", "reported", "host", nodeid.partition("[")[0])
    told = [("fault", row)]
    return pytest.TestReport(nodeid, ("", None, ""), {}, outcome, None, "teardown", user_properties=told)  # type: ignore[arg-type]


def test_a_part_of_the_tests_leaves_the_other_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "faults.md"
    table.write_text(TABLE.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(faults, "TABLE", table)
    before = {row[0]: row for row in written()}
    told = names_in_tests()
    first, second, third = [name for name in before if name in told][:3]
    seen = Faults()
    seen.pytest_runtest_logreport(report("tests/test_x.py::test_x[1]", first))
    seen.pytest_runtest_logreport(report("tests/test_x.py::test_x[2]", first))
    seen.pytest_runtest_logreport(report("tests/test_y.py::test_y[1]", second))
    seen.pytest_runtest_logreport(report("tests/test_y.py::test_y[2]", second, "failed"))
    seen.pytest_runtest_logreport(report("tests/test_z.py::test_z", third, "skipped"))
    seen.pytest_sessionfinish()
    after = {row[0]: row for row in written()}
    assert after[first][-1] == "tests/test_x.py::test_x"
    assert after[second] == before[second]
    assert {name: row for name, row in after.items() if name not in {first, third}} == {
        name: row for name, row in before.items() if name not in {first, third} and name in told
    }
