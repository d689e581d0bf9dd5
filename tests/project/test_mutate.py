"""The mutation run: which mutants it makes, and that it tells a noticed one from a survivor."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.mutants import mutants_of

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"


def made(path: str, source: str) -> set[str]:
    return {one.applied(source) for one in mutants_of(path, source)}


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("if (a < b) {", {"if (a <= b) {", "if (!(a < b)) {"}),
        ("if (p->x >= 10) {", {"if (p->x > 10) {", "if (p->x >= 11) {", "if (!(p->x >= 10)) {"}),
        ("\n    n++;\n", {"\n    n--;\n", "\n    ;\n"}),
        ("\n    bits |= AS_BIT(x);\n", {"\n    bits = AS_BIT(x);\n", "\n    ;\n"}),
        ("return a && !b;", {"return a || !b;", "return a && b;", "return 0;", "return !(a && !b);"}),
        ("x = a < b ? a : b;", {"x = a <= b ? a : b;", "x = a < b ? b : a;"}),
        ("return true;", {"return false;", "return 0;", "return !(true);"}),
    ],
)
def test_mutants_of_c(source: str, wanted: set[str]) -> None:
    assert made("x.c", source) == wanted


@pytest.mark.parametrize(
    "source", ["/* a < b && n++; */", '"a < 1"', "#include <stdint.h>\n#define N 4", "uint32_t n;\n", "'<'"]
)
def test_comments_and_strings_of_c_have_no_mutants(source: str) -> None:
    assert made("x.c", source) == set()


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("a < b", {"a <= b"}),
        ("a is not b", {"a is b"}),
        ("a and b or c", {"a or b or c", "a and b and c"}),
        ("n += 1", {"n = 1", "n += 2", "pass"}),
        ("if not a: b()", {"if a: b()", "if (not (not a)): b()", "if not a: pass"}),
        ("self.n = min(a, é, 5)", {"self.n = max(a, é, 5)", "self.n = min(a, é, 6)", "pass"}),
        (
            "def f() -> int:\n    return 1",
            {f"def f() -> int:\n    return {one}" for one in ("2", "None", "not (1)")},
        ),
        ("def f():\n    return False", {"def f():\n    return True", "def f():\n    return not (False)"}),
        ("raise X", {"pass"}),
        ("x: Literal[1] = True", {"x: Literal[1] = False"}),
        ('"""1 < 2"""', set()),
        ("if TYPE_CHECKING:\n    x = 1", set()),
    ],
)
def test_mutants_of_python(source: str, wanted: set[str]) -> None:
    assert made("x.py", source) == wanted


@pytest.mark.parametrize(
    "path", sorted((ROOT / "src/auditsense/kernel").glob("*.py")), ids=lambda path: path.name
)
def test_mutants_of_python_are_python(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    mutants = mutants_of(str(path), source)
    for one in mutants[:: max(1, len(mutants) // 20)]:
        ast.parse(one.applied(source))


def test_equivalent_mutants_exist_and_have_a_reason() -> None:
    """A line that fits no mutant any more is removed with the code that it was about."""
    for line in (SCRIPTS / "equivalent_mutants.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        path, before, after, reason = (part.strip() for part in line.split(" ||| "))
        source = (ROOT / path).read_text(encoding="utf-8")
        assert (before, after) in {one.lines(source) for one in mutants_of(path, source)}, line
        assert len(reason) > 20, line


def test_mutation_run_lists_its_sample() -> None:
    words = [sys.executable, "-E", "-s", str(SCRIPTS / "mutate.py"), "--list", "--sample", "7", "--seed", "3"]
    first, second = (
        subprocess.run(words, capture_output=True, text=True, check=True).stdout for _ in range(2)
    )
    assert first == second
    assert first.count("\n  + ") == 7
