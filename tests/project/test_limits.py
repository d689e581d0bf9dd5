"""Limits in tests: generous watchdogs that a busy machine does not reach."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTS = Path(__file__).parents[1]
LEAST_S = 120
A_TURN_S = 2  # up to here it is one turn of a loop, or the subject of the test
WAITS = {"wait", "settimeout", "join"}


def is_sensor(function: ast.expr) -> bool:
    """Tell whether it is `sensor.wait`, which returns when there is nothing."""
    owner = function.value if isinstance(function, ast.Attribute) else None
    return isinstance(owner, ast.Name) and owner.id == "sensor"


def limits_in(tree: ast.AST) -> Iterator[tuple[int, float]]:
    """Yield each limit in seconds that is written down as a number, with its line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            given = [one.value for one in node.keywords if one.arg in {"timeout", "limit_s"}]
            given += node.args[:1] if called in WAITS and not is_sensor(node.func) else []
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [one.id for one in targets if isinstance(one, ast.Name)]
            given = [node.value] if any(name.endswith("LIMIT_S") for name in names) else []
            if "deadline" in names and isinstance(node.value, ast.BinOp):
                given = [node.value.right]
        else:
            continue
        for one in given:
            if isinstance(one, ast.Constant) and isinstance(one.value, (int, float)):
                yield node.lineno, float(one.value)


def test_a_limit_in_a_test_is_a_watchdog() -> None:
    short = [
        f"{path.relative_to(TESTS)}:{line}: {limit:g} s"
        for path in sorted(TESTS.rglob("*.py"))
        for line, limit in limits_in(ast.parse(path.read_text(encoding="utf-8")))
        if A_TURN_S < limit < LEAST_S
    ]
    assert short == []


def test_limits_are_found_in_each_form() -> None:
    source = (
        "LIMIT_S = 10.0\n"
        "_LIMIT_S: Final = 11\n"
        "subprocess.run(words, timeout=12)\n"
        "process.wait(13)\n"
        "process.communicate('', timeout=14)\n"
        "peer.settimeout(15)\n"
        "deadline = time.monotonic() + 16\n"
        "finish(load, limit_s=17)\n"
        "deadline = time.monotonic() + LIMIT_S\n"
    )
    assert [limit for _, limit in sorted(limits_in(ast.parse(source)))] == [10, 11, 12, 13, 14, 15, 16, 17]
