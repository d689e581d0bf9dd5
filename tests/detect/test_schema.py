"""The schema that comes with the package, and the page that says where each field comes from."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from jsonschema import Draft202012Validator

from auditsense import AlertPolicy, Detector, Document, Host, View
from auditsense.cli import main
from auditsense.detect import ecs as documents
from auditsense.detect import notices
from auditsense.detect.ecs import self_test_document, tamper_document
from auditsense.testing import burst, open_event
from tests.support.outputs import as_documents, reader_of
from tests.support.schema import MAKERS, PATH, SCHEMA, problems

if TYPE_CHECKING:
    from collections.abc import Iterator


PAGE = Path(__file__).parents[2] / "docs" / "alerts.md"
HOST = Host("0123456789abcdef0123456789abcdef", "here")


def one_alert(view: View = View.ALERTS) -> Document:
    with reader_of(view, host=HOST) as detector:
        (document,) = as_documents(detector.feed_text(b"".join(event.text for event in burst(10)))[:1])
        return document


def test_schema_is_valid() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_schema_command_prints_the_schema(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(PATH.read_text(encoding="utf-8"))


@pytest.mark.parametrize("view", list(View))
def test_detector_documents_are_valid(view: View) -> None:
    assert problems(one_alert(view)) == []


def test_every_document_function_is_checked() -> None:
    makers = {name for module in (documents, notices) for name in vars(module) if name.endswith("_document")}
    assert makers == {name for names in MAKERS.values() for name in names}
    package = Path(documents.__file__).parents[1]
    for path in package.rglob("*.py"):
        used = set(re.findall(r"\b(\w+_document)\(", path.read_text(encoding="utf-8"))) & makers
        module = ".".join(("auditsense", *path.relative_to(package).with_suffix("").parts))
        assert module in {"auditsense.detect.ecs", "auditsense.detect.notices"} or used <= set(
            MAKERS.get(module, ())
        ), module


def spoilt(document: Document, name: str, value: object) -> Document:
    spoilt_document: Any = json.loads(json.dumps(document))
    *parents, last = name.split(".")
    place = spoilt_document
    for parent in parents:
        place = place[parent]
    place[last] = value
    return spoilt_document  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("surprise", 1),
        ("process.surprise", 1),
        ("auditsense.surprise", 1),
        ("process.pid", "7"),
        ("@timestamp", "2026-11-24"),
        ("event.id", "short"),
        ("event.dataset", "auditsense.other"),
        ("auditsense.events", []),
        ("auditsense.events", ["1.000"]),
        ("auditsense.count", 0),
        ("auditsense.state", "odd"),
        ("host.os", {}),
        ("rule", {}),
    ],
)
def test_wrong_documents_are_invalid(name: str, value: object) -> None:
    assert problems(spoilt(one_alert(), name, value)) != []


# --- the page ------------------------------------------------------------------------------


def leaves(schema: dict[str, Any], name: str = "") -> Iterator[str]:
    """Yield the names of all fields that a schema has, [] behind those of a list's entries."""
    while "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    items = schema.get("items", {})
    if "$ref" in items:
        items = SCHEMA["$defs"][items["$ref"].rpartition("/")[2]]
    if "properties" in schema:
        for key, value in schema["properties"].items():
            yield from leaves(value, f"{name}.{key}" if name else key)
    elif "properties" in items:
        yield from leaves(items, f"{name}[]")
    else:
        yield name


FIELDS = sorted({name for kind in SCHEMA["allOf"] for name in leaves(kind["then"])})


def named_on_the_page() -> set[str]:
    """Return the fields in the first column of the page's tables of fields."""
    page = PAGE.read_text(encoding="utf-8")
    table = page.partition("<!-- fields -->\n")[2].partition("<!-- end of fields -->")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_page_lists_exactly_the_fields_of_the_schema() -> None:
    assert named_on_the_page() == set(FIELDS)


# --- ids -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_ids_do_not_depend_on_batches(size: int) -> None:
    text = b"".join(event.text for event in (*burst(25), *burst(12, pid=7, serial=900, ms=1_795_493_200_000)))

    def ids(step: int) -> list[str]:
        with Detector(host=HOST, policy=AlertPolicy(suppress_ms=1000)) as detector:
            results = [
                document
                for at in range(0, len(text), step)
                for document in detector.feed_text(text[at : at + step])
            ]
            return [document["event"]["id"] for document in results + detector.finish()]

    assert ids(size) == ids(len(text))
    assert len(set(ids(size))) == len(ids(size)) == 4


def test_notice_ids_differ_by_time_host_and_message() -> None:
    first = self_test_document(HOST, ms=1, message="x")
    others = [
        self_test_document(HOST, ms=2, message="x"),
        self_test_document(Host("other", "here"), ms=1, message="x"),
        self_test_document(HOST, ms=1, message="y"),
        tamper_document(
            HOST, ms=1, rule_id="auditsense.tamper.owner", name="x", severity="high", message="x", repaired=""
        ),
    ]
    assert first == self_test_document(HOST, ms=1, message="x")
    assert len({event["event"]["id"] for event in (first, *others)}) == 5


# --- suppression by fields -----------------------------------------------------------------


def alerts_by(*by: str) -> list[tuple[str, int, int]]:
    """Return the documents of three processes of two users: state, matches, sequences without an alert."""
    lines = []
    for number, (pid, uid) in enumerate([(1, 0), (2, 0), (3, 1000)]):
        for n in range(11):
            event = open_event(ms=1000 + 100 * n + number, serial=1 + n + 100 * number, pid=pid, uid=uid)
            lines.append(event)
    lines.sort(key=lambda event: event.ms)
    with Detector(host=HOST, policy=AlertPolicy(by=by)) as detector:
        results = detector.feed_text(b"".join(event.text for event in lines)) + detector.finish()
    own = [document["auditsense"] for document in results]
    return [(event["state"], event["count"], event.get("suppressed", 0)) for event in own]


def test_window_separates_bursts_by_default() -> None:
    assert alerts_by() == [("alert", 10, 0)] * 3 + [("closed", 11, 1)] * 3
    assert alerts_by("process.pid") == alerts_by()


def test_burst_by_user_counts_all_processes() -> None:
    assert alerts_by("user.id") == [
        ("alert", 10, 0),
        ("alert", 10, 0),
        ("closed", 22, 3),
        ("closed", 11, 1),
    ]


def test_burst_by_program_counts_all_processes() -> None:
    assert alerts_by("process.executable") == [("alert", 10, 0), ("closed", 33, 5)]


def test_reload_with_other_fields_ends_bursts() -> None:
    with Detector(host=HOST) as detector:
        documents = detector.feed_text(b"".join(event.text for event in burst(11)))
        policy = replace(AlertPolicy(), by=("user.id",))
        documents += detector.reload(detector.detections, policy)
    assert [document["auditsense"]["state"] for document in documents] == ["alert", "closed"]


# --- types --------------------------------------------------------------------------------------

KINDS = [name.rpartition("/")[2] for name in (row["then"]["$ref"] for row in SCHEMA["allOf"])]


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def type_of(schema: dict[str, Any]) -> str:
    return str(schema.get("type") or type(schema.get("const", schema.get("enum", [""])[0])).__name__)


def compare(kind: Any, schemas: list[dict[str, Any]], where: str) -> None:  # noqa: ANN401 - a TypedDict
    """Compare a TypedDict with the objects of the schema that may stand in one place."""
    schemas = [resolved(schema) for schema in schemas]
    names = {name for schema in schemas for name in schema["properties"]}
    assert names == set(kind.__annotations__), where
    always = {name for name in names if all(name in schema["required"] for schema in schemas)}
    assert always == set(kind.__required_keys__), where
    for name, hint in get_type_hints(kind).items():
        values = [resolved(event["properties"][name]) for event in schemas if name in event["properties"]]
        item = get_args(hint)[0] if get_origin(hint) is list else hint
        if item is not hint:
            assert all(type_of(event) in {"array", "list"} for event in values)
            values = [resolved(event["items"]) for event in values if "items" in event]
        if is_typeddict(item):
            compare(item, values, f"{where}.{name}")
        else:
            expected = {str: {"string", "str"}, int: {"integer"}, float: {"number"}}.get(item, {"object"})
            assert {type_of(event) for event in values} <= expected, f"{where}.{name}"


def test_document_types_match_the_schema() -> None:
    compare(Document, [SCHEMA["$defs"][kind] for kind in KINDS], "document")
