"""The public names: listed once, typed, documented, and nothing else is visible."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parents[1]
NAMESPACES = ("auditsense", "auditsense.detections", "auditsense.testing")
SHARED = {"Detection", "load_detections", "shipped_detections"}


def public(name: str) -> ModuleType:
    return importlib.import_module(name)


def type_checking_imports(path: Path) -> dict[str, str]:
    """Return the names that type checkers see in a package, and the module of each."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = (node for node in tree.body if isinstance(node, ast.If))
    (block,) = (node for node in blocks if ast.unparse(node.test) == "TYPE_CHECKING")
    names = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name  # else it is private for type checkers
            names[alias.name] = str(node.module).removeprefix("auditsense.")
    return names


@pytest.mark.parametrize("name", NAMESPACES[:2])
def test_type_checkers_see_the_names_of_the_table(name: str) -> None:
    package = public(name)
    assert type_checking_imports(Path(str(package.__file__))) == package._MODULES


@pytest.mark.parametrize("name", NAMESPACES)
def test_dir_shows_public_names_only(name: str) -> None:
    package = public(name)
    for exported in package.__all__:
        getattr(package, exported)
    assert dir(package) == sorted(package.__all__)


@pytest.mark.parametrize("name", NAMESPACES)
def test_unknown_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'Sensr'"):
        public(name).Sensr  # noqa: B018 - raises


def test_shared_names_are_the_same_objects() -> None:
    root, detections = map(public, NAMESPACES[:2])
    assert {*root.__all__} & {*detections.__all__} == SHARED
    assert all(getattr(root, name) is getattr(detections, name) for name in SHARED)


def test_reference_lists_each_public_name_once() -> None:
    page = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^\.\. (?:data|auto(?:class|function|exception)):: (\S+)$", page, re.MULTILINE)
    exported = {f"{name}.{exported}" for name in NAMESPACES for exported in public(name).__all__}
    shared = {f"auditsense.detections.{name}" for name in SHARED}
    assert sorted(listed) == sorted(exported - shared - {"auditsense.__version__"})
