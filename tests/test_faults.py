"""The fault table says what the tests say: no row without its test, no test without its row."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults import COLUMNS, TABLE, names_in_tests, written
else:
    sys.path.insert(0, str(Path(__file__).parent))
    from faults import COLUMNS, TABLE, names_in_tests, written

AGAIN = "run `pytest --write-faults` as root on a machine with kernel audit, and commit docs/faults.md"


def test_every_row_belongs_to_a_test_that_exists_and_every_such_test_has_its_row() -> None:
    assert {row[0]: row[-1] for row in written()} == names_in_tests(), AGAIN


def test_there_are_25_faults_at_least_and_no_cell_is_empty() -> None:
    rows = written()
    assert len(rows) >= 25
    assert len({row[0] for row in rows}) == len(rows)
    assert sum("tests/live/" in row[-1] for row in rows) >= 15
    for row in rows:
        assert all(cell.strip() for cell in row), row[0]
        assert len(row) == len(COLUMNS)


def test_the_table_can_be_read_as_markdown() -> None:
    lines = [line for line in TABLE.read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in lines} == {len(COLUMNS) + 1}
