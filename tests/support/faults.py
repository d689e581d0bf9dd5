"""The page of faults: one row per fault, from the test that causes it; docs/faults.md is generated from it.

A test calls the fixture `fault` after it has checked all cells of the row::

    def test_a_full_disk_ends_it(fault: Recorder) -> None:
        ...
        fault("the disk is full", how=…, did=…, lost=…, reported=…, host=…)

``pytest --write-faults`` writes the rows of the tests that passed; those of tests that did not run stay.
`tests/project/test_faults.py` compares the committed page with the tests.
"""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable

TESTS: Final = Path(__file__).parents[1]
TABLE: Final = TESTS.parent / "docs" / "faults.md"
COLUMNS: Final = ("fault", "how", "did", "lost", "reported", "host", "test")
NOTHING: Final = "nothing"
AS_BEFORE: Final = "as before, rule list byte for byte"
NO_HOST: Final = "not touched: no kernel is involved"

_HEAD: Final = """\
# Faults and how the sensor handles them

What happens when the disk is full, the sensor is killed, another program changes audit's settings, or a
user tries to hide a scan. Each fault is caused by a test, which checks all that is stated here. "Live" means
on the kernel of the test machine, whose settings and audit rules are compared byte for byte after every test.

[Troubleshooting](troubleshooting.md) starts from the symptom.
[Loss accounting](loss.md) lists what can be lost.
"""
_FOOT: Final = """
`pytest --write-faults` writes this page from the tests that passed.
"""
_GROUPS: Final = {
    "The sensor is killed or stopped": ("sigkill", "guardian", "undo_journal", "stalled_sensor", "self_test"),
    "It ends, or fails": ("host_restored", "status", "interpreters"),
    "It is refused": ("refusal", "procfs", "hostile_files", "install_rules"),
    "Other programs change audit, or own its socket": ("tamper", "multicast"),
    "A user hides a scan": ("attacks", "alert", "burst", "compact_line"),
    "A destination fails": ("fanout", "sinks", "test_file", "log_daemons", "power_cut"),
    "The input is damaged or unusual": ("",),
}
"""Headings of the page, each with words of the files whose faults it holds; the first that fits counts."""
_LABELS: Final = {
    "how": "Caused by",
    "did": "The sensor",
    "lost": "Lost",
    "reported": "Reported",
    "host": "Host afterwards",
    "test": "Test",
}
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
        TABLE.write_text(page(rows.values()), encoding="utf-8")


def page(rows: Iterable[tuple[str, ...]]) -> str:
    """Return the page of these rows."""
    groups: dict[str, list[tuple[str, ...]]] = {heading: [] for heading in _GROUPS}
    for row in sorted(rows, key=lambda row: ("/live/" not in row[-1], row[-1], row[0])):
        groups[_heading(row[-1])].append(row)
    lines = [_HEAD]
    for heading, group in groups.items():
        lines.append(f"\n## {heading}\n")
        for name, *cells, test in group:
            labelled = zip(_LABELS.values(), [*cells, f"`{test}`"], strict=True)
            lines += [f"\n### {_capital(name)}\n\n", *(f"- {label}: {cell}\n" for label, cell in labelled)]
    return "".join([*lines, _FOOT])


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _heading(test: str) -> str:
    path = test.partition("::")[0]
    return next(heading for heading, words in _GROUPS.items() if any(word in path for word in words))


def written() -> list[tuple[str, ...]]:
    """Return the rows of the page as it is committed."""
    if not TABLE.exists():
        return []
    names = {_capital(name): name for name in names_in_tests()}
    rows: list[tuple[str, ...]] = []
    for entry in TABLE.read_text(encoding="utf-8").split("\n### ")[1:]:
        name, *lines = entry.splitlines()
        cells = [line.partition(": ")[2] for line in lines if line.startswith("- ")]
        rows.append((names.get(name, name), *cells[:-1], cells[-1].strip("`")))
    return rows


@cache
def names_in_tests() -> dict[str, str]:
    """Return the faults that tests record, each with its file and function, as pytest names them."""
    names: dict[str, str] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        for function in ast.parse(text).body if "fault(" in text else ():
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
