"""Paths and names that the pages mention exist."""

from __future__ import annotations

import ast
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "auditsense"
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
PATH = re.compile(
    r"(?<![\w./:~$<>{}*-])"  # no part of an absolute path, a URL or a pattern
    r"((?:[\w-]+/)+[\w.-]*\w\.(?:py|c|h|md|rst|toml|txt|sh|json|csv|map|in|build|cases)"
    r"|(?:src|tests|bench|scripts|docs|fuzz|library|examples|man|completion)/(?:[\w-]+/)*)"
    r"(?![\w/*{<])"
)
CODE = re.compile(r"`([^`\n]+)`")
MEMBER = re.compile(r"([A-Z]\w*)\.([a-z_]\w*)(?:\(.*\))?")  # Class.member
DOTTED = re.compile(r"(?<![\w/.-])auditsense(?:\.\w+)+(?![\w.-])")
FILE = re.compile(r"auditsense\.(?:\w+\.\d|a|conf|h|jsonl|pc|service|so|toml)")
C_NAME = re.compile(r"\bas_[a-z_]+\w\b")
TEST_NAME = re.compile(r"\btest_\w+\b(?!\.)")
C_FILES = ("src/auditsense/**/*.[ch]", "library/*")
TEST_FILES = ("tests/**/*.py", "tests/c/*.c", "bench/*.py", "examples/*.py")


@cache
def tracked() -> frozenset[str]:
    """Return the files of the repository and their folders."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    folders = {f"{parent}/" for name in listed for parent in Path(name).parents}
    return frozenset((*listed, *folders))


@cache
def trees() -> dict[str, ast.Module]:
    """Return the syntax tree of each module by its dotted name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def names_in(body: list[ast.stmt]) -> set[str]:
    """Return the names that statements define, those on `self` included."""
    found: set[str] = set()
    for node in (inner for statement in body for inner in ast.walk(statement)):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name) | ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.alias(name=name, asname=asname):
                found.add(asname or name)
            case ast.Constant(value=str(name)):  # a table of names, a slot
                found.add(name)
    return found


@cache
def classes() -> dict[str, set[str]]:
    """Return the members of each class of the package, inherited ones included."""
    own: dict[str, set[str]] = {}
    bases: dict[str, set[str]] = {}
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                own.setdefault(node.name, set()).update(names_in(node.body))
                bases.setdefault(node.name, set()).update(
                    ast.unparse(base).partition("[")[0] for base in node.bases
                )

    def members(name: str) -> set[str]:
        return own.get(name, set()).union(*(members(base) for base in bases.get(name, ())))

    return {name: members(name) for name in own}


@cache
def sources(*patterns: str) -> str:
    """Return the text of all files that match."""
    return "\n".join(
        path.read_text(encoding="utf-8") for pattern in patterns for path in sorted(ROOT.glob(pattern))
    )


@cache
def words(*patterns: str) -> frozenset[str]:
    """Return the words of all files that match."""
    return frozenset(re.findall(r"\w+", sources(*patterns)))


@cache
def exists(path: str) -> bool:
    """Return whether a path leads to a file of the repository or a header of the system, from any folder."""
    if path.startswith(("linux/", "include/")):
        return True
    return any(f"/{name}".endswith(f"/{path}") for name in tracked())


def is_defined(dotted: str) -> bool:
    """Return whether a dotted name is a module, a name in one, a member of a class, a key or a value."""
    holder, _, name = dotted.rpartition(".")
    if dotted in trees() or FILE.fullmatch(dotted):
        return True
    values = (dotted, f"{holder}.{{", f'{holder}"') if name.islower() else ()
    if any(f'"{value}' in sources("src/auditsense/**/*.py") for value in values):
        return True
    if all(f'"{part}"' in sources("src/auditsense/schema/*.json") for part in dotted.split(".")):
        return True
    if holder in trees():
        return name in names_in(trees()[holder].body)
    return name in classes().get(holder.rpartition(".")[2], set())


def layout() -> Iterator[str]:
    """Yield the modules that ARCHITECTURE.md's source layout names, as paths without an ending."""
    block = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("```")[3].partition("\n  schema/")[0]
    for entry in re.split(r"\n  (?=\w|  rules/)", block):
        folder, _, text = entry.strip().partition("/ ")
        if folder == "_ring":
            stages = re.findall(r"^    (\w+(?: ? \w+)*)(?:   |$)", text, re.MULTILINE)
            yield from (f"_ring/{stage}.h" for line in stages for stage in line.split())
        elif re.fullmatch(r"\w+", folder):
            words = re.split(r"[,;]", re.sub(r"\(.*?\)", "", text.partition(":")[2]))
            yield from (f"{folder}/{word.strip()}.py" for word in words if re.fullmatch(r"\s*\w+\s*", word))


def test_layout_names_modules_that_exist() -> None:
    paths = [*layout()]
    assert len(paths) > 80
    assert [path for path in paths if not exists(path)] == []


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_page_names_only_existing_paths(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if page.name == "CHANGELOG.md":  # its tables name what is gone, and so do earlier releases
        unreleased = re.split(r"^## \[?\d", text, maxsplit=1, flags=re.MULTILINE)[0]
        text = re.sub(r"^\|.*$", "", unreleased, flags=re.MULTILINE)
    codes = CODE.findall(text)
    stale = [path for path in PATH.findall(text) if not exists(path)]
    for code in codes:
        if (member := MEMBER.fullmatch(code)) and member[1] in classes():
            stale += [code] if member[2] not in classes()[member[1]] else []
        stale += [name for name in DOTTED.findall(code) if not is_defined(name)]
        stale += [name for name in C_NAME.findall(code) if name not in words(*C_FILES)]
        stale += [name for name in TEST_NAME.findall(code) if name not in words(*TEST_FILES)]
    assert stale == []


def test_map_names_every_module() -> None:
    """The source layout in ARCHITECTURE.md has all modules but those of bench/ and cli/."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    layout = text.partition("## Source layout")[2].partition("## Invariants")[0]
    package = ROOT / "src/auditsense"
    files = [path for ending in ("py", "c", "h") for path in package.rglob(f"*.{ending}")]
    modules = {path.stem for path in files if path.relative_to(package).parts[0] not in {"bench", "cli"}}
    modules -= {"__init__", "__main__", "_ffi.src", "_helper_ffi.src"}
    modules -= {"_ring.cdef", "_helper.cdef"}  # named with their suffix
    assert sorted(modules - set(re.findall(r"\w+", layout))) == []
