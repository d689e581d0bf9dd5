"""The fault table: one row per fault, from the test that causes it; docs/faults.md is generated from it.

A test calls the fixture `fault` after it has checked all cells of the row::

    def test_a_full_disk_ends_it(fault: Recorder) -> None:
        ...
        fault("the disk is full", how=…, did=…, lost=…, reported=…, host=…)

``pytest --write-faults`` writes the rows of the tests that passed; those of tests that did not run stay.
`tests/project/test_faults.py` compares the committed page with the tests.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Final, Protocol

import pytest

TESTS: Final = Path(__file__).parents[1]
TABLE: Final = TESTS.parent / "docs" / "faults.md"
COLUMNS: Final = ("fault", "how", "did", "lost", "reported", "host", "test")
NOTHING: Final = "nothing"
AS_BEFORE: Final = "as before, rule list byte for byte"
NO_HOST: Final = "not touched: no kernel is involved"

_HEAD: Final = """\
# Faults and how the sensor handles them

Written by `pytest --write-faults` from tests that passed; the last column names them. Each test checks all
cells of its row. "live": on the kernel of the test machine. Its settings and rules are restored and compared
byte for byte after every test.

| fault | how it is caused | what the sensor did | what was lost | what it reported | host afterwards | test |
|---|---|---|---|---|---|---|
"""
_PROPERTY: Final = "fault"


class Recorder(Protocol):
    """The fixture `fault`: records one row of the table."""

    def __call__(self, name: str, *, how: str, did: str, lost: str, reported: str, host: str) -> None: ...


@pytest.fixture
def fault(request: pytest.FixtureRequest) -> Recorder:
    """Return the recorder of a test's row."""

    def record(name: str, *, how: str, did: str, lost: str, reported: str, host: str) -> None:
        test = request.node.nodeid.partition("[")[0]
        request.node.user_properties.append((_PROPERTY, (name, how, did, lost, reported, host, test)))

    return record


class Faults:
    """Collects the rows of the tests that passed, until pytest ends.

    A test with parameters has a row when no case of it has failed.
    """

    def __init__(self) -> None:
        self.rows: dict[str, tuple[str, ...]] = {}
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "failed":
            self.failed.add(report.nodeid.partition("[")[0])
        elif report.when == "teardown":
            for name, row in report.user_properties:
                if name == _PROPERTY and isinstance(row, tuple):
                    self.rows[row[0]] = row

    def pytest_sessionfinish(self) -> None:
        known = names_in_tests()
        passed = {name: row for name, row in self.rows.items() if row[-1] not in self.failed}
        rows = {row[0]: row for row in written() if row[0] in known} | passed
        ordered = sorted(rows.values(), key=lambda row: (row[-1], row[0]))
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |\n" for row in ordered]
        TABLE.write_text(_HEAD + "".join(lines), encoding="utf-8")


def written() -> list[tuple[str, ...]]:
    """Return the rows of the table as it is committed."""
    if not TABLE.exists():
        return []
    lines = TABLE.read_text(encoding="utf-8").removeprefix(_HEAD).splitlines()
    cells = [line.removeprefix("| ").removesuffix(" |").split(" | ") for line in lines if line[:2] == "| "]
    return [tuple(cell.replace("\\|", "|") for cell in row) for row in cells if len(row) == len(COLUMNS)]


def names_in_tests() -> dict[str, str]:
    """Return the faults that tests record, each with its file and function, as pytest names them."""
    names: dict[str, str] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                for name in _recorded_by(function):
                    names[name] = f"{path.relative_to(TESTS.parent)}::{function.name}"
    return names


def _recorded_by(function: ast.FunctionDef) -> list[str]:
    calls = [
        node
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "fault"
    ]
    firsts = [call.args[0] for call in calls if call.args]
    return [name.value for name in firsts if isinstance(name, ast.Constant) and isinstance(name.value, str)]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-faults", action="store_true", help="write docs/faults.md")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--write-faults"):
        config.pluginmanager.register(Faults(), "auditsense-faults")
