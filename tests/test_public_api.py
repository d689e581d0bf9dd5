"""The public names: listed once, typed, documented, and nothing else is visible."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense import (
    Detector,
    EventReader,
    Host,
    Limits,
    Multicast,
    RowReader,
    Sensor,
    Unicast,
    shipped_detections,
)
from auditsense.testing import FakeClock, FakeKernel, FakeSource

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


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (
            Detector(host=Host("1", "web1")),
            "<Detector of pspy, proc-scan, proc-scan-session, proc-scan-slow in records of 'web1'>",
        ),
        (EventReader(host=Host("1", "web1")), "<EventReader of records of 'web1'>"),
        (RowReader(["pid"], host=Host("1", "web1")), "<RowReader of records of 'web1'>"),
        (Sensor(source=FakeSource()), "<Sensor alerts from fake, closed>"),
        (Sensor(source=FakeSource()).queue(5), "<Queue 0 of 5, 0 dropped>"),
        (Unicast(), "<Unicast -w /proc -p r -k audit_proc, closed>"),
        (Multicast([]), "<Multicast no audit rules, closed>"),
        (Host("1", "web1"), "Host(id='1', name='web1')"),
        (shipped_detections()[:1], "[Detection('pspy', version=2)]"),
        (Limits(event_slots=64), "Limits(event_slots=64)"),
        (FakeClock(1000), "FakeClock(ms=1000)"),
        (FakeKernel(), "<FakeKernel enabled=0, failure=1, pid=0, backlog_limit=64, 0 rules>"),
        (FakeSource(), "<FakeSource closed>"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_repr_describes_the_object(value: object, shown: str) -> None:
    assert repr(value) == shown


def test_reference_lists_each_public_name_once() -> None:
    page = (ROOT / "docs" / "api.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^\.\. auto(?:class|function|exception):: (\S+)$", page, re.MULTILINE)
    exported = {f"{name}.{exported}" for name in NAMESPACES for exported in public(name).__all__}
    shared = {f"auditsense.detections.{name}" for name in SHARED}
    assert sorted(listed) == sorted(exported - shared - {"auditsense.__version__"})


def described() -> list[tuple[str, object]]:
    """Return the public functions and classes, and the public methods and properties of the classes."""
    modules = map(public, NAMESPACES)
    exported = {name: getattr(module, name) for module in modules for name in module.__all__}
    members = {
        f"{name}.{member}": value
        for name, holder in exported.items()
        if isinstance(holder, type)
        for member, value in vars(holder).items()
        if not member.startswith("_") and (inspect.isfunction(value) or isinstance(value, property))
    }
    return [(name, value) for name, value in {**exported, **members}.items() if name != "__version__"]


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in described()])
def test_docstring_describes_every_argument(value: object) -> None:
    """An argument is an entry of Args or Attributes, or stands in the text; "see X" refers to a base."""
    text = inspect.getdoc(value)
    assert text
    if inspect.isfunction(value) and not re.search(r"\bsee `", text, re.IGNORECASE):
        names = [parameter for parameter in inspect.signature(value).parameters if parameter != "self"]
        if len(names) > 1:
            assert [argument for argument in names if not re.search(rf"\b{argument}\b", text)] == []
    if dataclasses.is_dataclass(value):
        fields = [field.name for field in dataclasses.fields(value)]
        assert [field for field in fields if not re.search(rf"\b{field}\b.*:|``{field}``", text)] == []


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in described()])
def test_docstring_refers_to_public_names_only(value: object) -> None:
    exported = {name for module in map(public, NAMESPACES) for name in module.__all__}
    references = re.findall(
        r"`(?:auditsense\.(?:testing\.|detections\.)?)?([A-Z][a-z]\w+)[`.]", inspect.getdoc(value) or ""
    )
    assert {*references} <= exported
