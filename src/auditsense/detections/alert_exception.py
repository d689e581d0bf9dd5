"""An exception for what an alert is about, as TOML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from auditsense.detections.exceptions import exception_from
from auditsense.errors import InputError, UsageError, one_line

UNSET: Final = "4294967295"  # an alert says "unset"
_PROCESS_DATASETS: Final = ("auditsense.alert", "auditsense.burst")
_BYTE: Final = re.compile(r"\\x[0-9a-f]{2}")  # a byte that is not UTF-8, in a document
_WILDCARD: Final = "*"
_FIELDS: Final = ("process.executable", "user.id", "user.audit.id")


def exception_toml(alert: object, comment: str | None = None) -> str:
    """Return an `[[exception]]` that excepts the alert's program, as its user and login.

    The name of the process replaces its executable if the alert has none. A field that the alert lacks
    has to be absent, so that the exception takes nothing else.

    Args:
        alert: the parsed document: an alert, a sequence, an update or a closing document.
        comment: why the program is harmless; by default which alert the exception is from.

    Raises:
        InputError: not such a document, or a value that an exception cannot compare.
        UsageError: *comment* is empty.
    """
    detection = _detection_of(alert)
    fields = {name: _text(alert, name) for name in _FIELDS}
    if fields["process.executable"] is None:
        name = _text(alert, "process.name")
        if name is None:
            raise InputError(
                "the alert has neither process.executable nor process.name: nothing to except by"
            )
        fields["process.name"] = name
    if fields["user.audit.id"] == "unset":
        fields["user.audit.id"] = UNSET
    if comment is None:
        comment = _sentence(alert, fields)
    if not comment.strip():
        raise UsageError("the comment is empty: state why the program is harmless")
    if not _is_unicode(comment):
        raise UsageError("the comment is not UTF-8")
    match = {name: _comparison(value) for name, value in fields.items()}
    exception_from(
        {"detection": detection, "comment": comment, "match": match}, "the exception of this alert"
    )
    lines = ["[[exception]]", f"detection = {_quoted(detection)}", f"comment = {_quoted(comment.strip())}"]
    lines += ["[exception.match]", *(f"{_quoted(name)} = {_toml(value)}" for name, value in match.items())]
    return "\n".join(lines)


def _detection_of(alert: object) -> str:
    if not isinstance(alert, Mapping):
        raise InputError("not an alert: expected a JSON object, as auditsense run --format jsonl prints")
    dataset = _value(alert, "event.dataset")
    detection = _text(alert, "rule.id")
    if dataset not in _PROCESS_DATASETS or detection is None:
        shown = f"event.dataset is {dataset!r:.60}" if dataset is not None else "it has no event.dataset"
        raise InputError(f"not an alert about a process: {shown}")
    return detection


def _value(document: object, name: str) -> object:
    for part in name.split("."):
        if not isinstance(document, Mapping):
            return None
        document = document.get(part)
    return document


def _text(document: object, name: str) -> str | None:
    value = _value(document, name)
    if value is None:
        return None
    if not isinstance(value, str):
        raise InputError(f"not an alert: {name} is {value!r:.60}, and must be a string")
    if _BYTE.search(value) or not _is_unicode(value):
        raise InputError(f"{name} is {value!r:.200}, which has bytes that an exception cannot compare")
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _sentence(alert: object, fields: Mapping[str, str | None]) -> str:
    program = fields["process.executable"] or fields.get("process.name")
    user = _value(alert, "user.name") or fields["user.id"] or "unknown"
    identity = _value(alert, "event.id")
    return one_line(f"Program {program} of user {user}, from alert {identity}.")


def _comparison(value: str | None) -> str | dict[str, Any]:
    if value is None:
        return {"exists": False}
    return {"is": [value]} if _WILDCARD in value else value


def _toml(value: str | dict[str, Any]) -> str:
    if isinstance(value, str):
        return _quoted(value)
    if "exists" in value:
        return "{ exists = false }"
    return f"{{ is = [{', '.join(map(_quoted, value['is']))}] }}"


def _quoted(text: str) -> str:
    """Return a basic string of TOML, in one line."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\u{code:04X}" if code <= 0xFFFF else f"\\U{code:08X}"
