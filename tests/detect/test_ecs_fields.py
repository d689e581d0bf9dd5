"""Names and types of fields, compared with the field table of the Elastic Common Schema.

ecs_fields.json lists the fields of ECS that documents have, with their types in ECS. AUDITSENSE_ECS_FIELDS
names the table itself, `generated/csv/fields.csv` of that version in the repository of ECS. With the table,
`python tests/detect/test_ecs_fields.py TABLE` writes the list again.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # as a script

from auditsense.detect import ecs
from tests.support.schema import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLE: Final = Path(os.environ.get("AUDITSENSE_ECS_FIELDS", "/nonexistent"))
LIST: Final = Path(__file__).with_name("ecs_fields.json")
TEMPLATE: Final = Path(__file__).parents[2] / "examples" / "elasticsearch" / "index-template.json"
OUTSIDE: Final = {
    "auditsense": "the project's own",
    "auditd.data": "auditd_manager has these, and detections written for it expect them",
    "auditd.session": "as auditd.data",
    "user.audit": "the login: ECS has no field for it, and auditbeat has this one",
    "user.filesystem": "as user.audit",
    "user.saved": "as user.audit",
    "user.selinux": "as user.audit",
}
"""Fields that are not in ECS, each with the reason. No other may appear."""
JSON_TYPES: Final = {
    **{name: {"string"} for name in ("keyword", "wildcard", "match_only_text", "text", "ip", "date")},
    "long": {"integer"},
    "float": {"integer", "number"},
}


class Leaf(NamedTuple):
    """A field that holds a value.

    Attributes:
        name: with dots.
        types: of JSON.
        date: whether the schema asks for a date.
        listed: whether it is a list, or inside one.
    """

    name: str
    types: frozenset[str]
    date: bool
    listed: bool


def leaves(node: dict[str, Any], path: tuple[str, ...] = (), *, listed: bool = False) -> Iterator[Leaf]:
    """Yield the fields of a part of the schema; a field that several documents have comes several times."""
    if "$ref" in node:
        below: Any = SCHEMA
        for word in node["$ref"].split("/")[1:]:
            below = below[word]
        yield from leaves(below, path, listed=listed)
    for part in [*node.get("allOf", []), *node.get("anyOf", []), *node.get("oneOf", [])]:
        yield from leaves(part.get("then", part), path, listed=listed)
    for name, part in node.get("properties", {}).items():
        yield from leaves(part, (*path, name), listed=listed)
    if "items" in node:
        yield from leaves(node["items"], path, listed=True)
    values = [node["const"]] if "const" in node else node.get("enum", [])
    if values or (isinstance(node.get("type"), str) and node["type"] not in {"object", "array"}):
        single = [value for one in values for value in (one if isinstance(one, list) else [one])]
        types = {_json_type(value) for value in single} if values else {node["type"]}
        is_list = listed or any(isinstance(one, list) for one in values)
        yield Leaf(".".join(path), frozenset(types), "T[0-9]{2}:" in node.get("pattern", ""), is_list)


def _json_type(value: object) -> str:
    return {str: "string", int: "integer", float: "number", bool: "boolean"}[type(value)]


def is_outside(name: str) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in OUTSIDE)


def listed_fields() -> dict[str, dict[str, Any]]:
    fields: dict[str, dict[str, Any]] = json.loads(LIST.read_text(encoding="utf-8"))["fields"]
    return fields


def table_fields(path: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    """Return the version of a table, and the fields that documents have."""
    with path.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    used = {leaf.name for leaf in leaves(SCHEMA)}
    fields = {
        row["Field"]: {"type": row["Type"], "array": row["Normalization"] == "array"}
        for row in rows
        if row["Field"] in used
    }
    return rows[0]["ECS_Version"], fields


def test_every_field_is_in_ecs_or_named_as_an_exception() -> None:
    unknown = {leaf.name for leaf in leaves(SCHEMA) if not is_outside(leaf.name)} - set(listed_fields())
    assert unknown == set()


def test_no_exception_is_in_ecs_or_unused() -> None:
    names = {leaf.name for leaf in leaves(SCHEMA)}
    assert not [name for name in listed_fields() if is_outside(name)]
    assert not [
        prefix for prefix in OUTSIDE if not any(f"{name}.".startswith(f"{prefix}.") for name in names)
    ]


def test_types_are_those_of_ecs() -> None:
    fields = listed_fields()
    for leaf in leaves(SCHEMA):
        if leaf.name not in fields:
            continue
        field = fields[leaf.name]
        assert leaf.types <= JSON_TYPES[field["type"]], leaf
        assert (field["type"] == "date") == leaf.date, leaf
        assert leaf.listed or not field["array"], f"{leaf.name} has to be a list"


def test_list_has_no_field_that_documents_lack() -> None:
    assert set(listed_fields()) <= {leaf.name for leaf in leaves(SCHEMA)}


def test_documents_state_the_version_of_the_list() -> None:
    stated = {
        node["const"] for node in _nodes(SCHEMA, "version") if str(node.get("const", "")).count(".") == 2
    }
    assert stated == {json.loads(LIST.read_text(encoding="utf-8"))["ecs"]}
    assert ecs.ECS_VERSION in stated


def _nodes(node: Any, name: str) -> Iterator[dict[str, Any]]:  # noqa: ANN401 - any JSON
    if isinstance(node, dict):
        for key, value in node.items():
            if key == name and isinstance(value, dict):
                yield value
            yield from _nodes(value, name)
    elif isinstance(node, list):
        for value in node:
            yield from _nodes(value, name)


def test_index_template_has_the_types_of_ecs() -> None:
    """A type that the template states is that of ECS; text instead of keyword is searched by words."""
    template = json.loads(TEMPLATE.read_text(encoding="utf-8"))["template"]["mappings"]["properties"]
    fields = listed_fields()
    stated = dict(_mapped(template))
    assert {name for name in stated if not is_outside(name)} <= set(fields)
    for name, kind in stated.items():
        if name in fields:
            assert kind in {fields[name]["type"], "text"}, name
    needed = {name for name, field in fields.items() if field["type"] in {"date", "ip", "float", "long"}}
    assert needed <= set(stated)  # else the first document decides about the type


def _mapped(properties: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, node in properties.items():
        if "type" in node and "properties" not in node:
            yield f"{prefix}{name}", node["type"]
        yield from _mapped(node.get("properties", {}), f"{prefix}{name}.")


@pytest.mark.skipif(not TABLE.exists(), reason="AUDITSENSE_ECS_FIELDS names no field table of ECS")
def test_list_is_that_of_the_field_table() -> None:
    version, fields = table_fields(TABLE)
    assert re.fullmatch(r"\d+\.\d+\.\d+", version)
    assert {"ecs": version, "fields": fields} == json.loads(LIST.read_text(encoding="utf-8"))


if __name__ == "__main__":
    ecs_version, found = table_fields(Path(sys.argv[1]))
    text = json.dumps({"ecs": ecs_version, "fields": found}, indent=2, sort_keys=True)
    LIST.write_text(text + "\n", encoding="utf-8")
