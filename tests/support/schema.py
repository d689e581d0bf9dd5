"""The schema of documents, as the tests hold every document against it."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jsonschema import Draft202012Validator

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditsense import Document

PATH: Final = Path(__file__).parents[2] / "src" / "auditsense" / "schema" / "document.json"
SCHEMA: Final[dict[str, Any]] = json.loads(PATH.read_text(encoding="utf-8"))
MAKERS: Final = {
    "auditsense.detect.detector": ("alert_document",),
    "auditsense.detect.suppression": ("alert_document", "withheld_document"),
    "auditsense.detect.events": ("event_document",),
    "auditsense.sensor.health": ("loss_document", "tamper_document", "self_test_document", "clock_document"),
    "auditsense.sinks.fanout": ("sink_document",),
}
"""Modules that build documents, with the functions of `detect.ecs` and `detect.notices` that they call."""
_VALIDATOR: Final = Draft202012Validator(SCHEMA)


def problems(document: Document) -> list[str]:
    """Return what is wrong with a document, a line each."""
    return [f"{error.json_path}: {error.message}" for error in _VALIDATOR.iter_errors(document)]


def checked(make: Callable[..., Document]) -> Callable[..., Document]:
    """Return a function that makes documents, and fails for one that is not as the schema says."""
    seen: set[str] = set()

    @functools.wraps(make)
    def making(*args: Any, **kwargs: Any) -> Document:  # noqa: ANN401 - the function's own
        document = make(*args, **kwargs)
        # Thousands differ in a number only: of each shape one is held against the schema.
        words = [document["event"].get(name) for name in ("kind", "dataset", "outcome", "category")]
        own = document["auditsense"]
        shape = repr((_shape(document), words, own.get("state"), own.get("severity")))
        if shape not in seen:
            seen.add(shape)
            assert problems(document) == [], document
        return document

    return making


def _shape(value: object) -> object:
    if isinstance(value, dict):
        return {name: _shape(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_shape(one) for one in value[:1]]
    return type(value).__name__
