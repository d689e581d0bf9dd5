"""auditsense detections except: turn alerts into exceptions."""

from __future__ import annotations

import json
import sys
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final

from auditsense.cli import print_data, print_message
from auditsense.detections.alert_exception import exception_toml
from auditsense.errors import InputError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

_MOST_BYTES: Final = 16 << 20
_INTERPRETERS: Final = (
    "python",
    "perl",
    "ruby",
    "node",
    "bash",
    "dash",
    "sh",
    "zsh",
    "busybox",
    "lua",
    "php",
)


def run(arguments: argparse.Namespace) -> int:
    """Print an exception for each program, user and login of the alerts."""
    printed: set[str] = set()
    for where, alert in _alerts(arguments.path):
        try:
            toml = exception_toml(alert, arguments.comment)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        key = "\n".join(line for line in toml.splitlines() if not line.startswith("comment = "))
        if key not in printed:
            print_data(toml if not printed else f"\n{toml}")
            printed.add(key)
            _warn_of_interpreter(alert)
    return 0


def _alerts(path: str) -> Iterator[tuple[str, Any]]:
    """Yield the documents of a file, and where each stands: one JSON value, or one per line."""
    name = "standard input" if path == "-" else path
    text = _read(path, name)
    if not text.strip():
        raise InputError(f"{name} is empty: expected an alert as JSON")
    try:
        yield name, _parsed(text)
    except ValueError:
        lines = text.splitlines()
        parsed = []
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                parsed.append((f"{name}:{number}", _parsed(line)))
            except ValueError:
                raise InputError(f"{name}:{number}: not JSON: expected an alert per line") from None
        yield from parsed


def _parsed(text: str) -> Any:  # noqa: ANN401 - JSON's own
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _read(path: str, name: str) -> str:
    try:
        if path == "-":
            if sys.stdin is None:
                raise InputError("standard input is closed")
            data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        raise InputError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > _MOST_BYTES:
        raise InputError(f"{name}: more than {_MOST_BYTES >> 20} MiB; pass the alert alone")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InputError(f"{name}: not JSON: expected an alert as text") from None


def _warn_of_interpreter(alert: Any) -> None:  # noqa: ANN401 - JSON's own
    executable = alert.get("process", {}).get("executable")
    if executable is None:
        return
    name = PurePath(executable).name.rstrip("0123456789.")
    if name in _INTERPRETERS:
        print_message(
            f"warning: {executable} is an interpreter: the exception covers every script that this "
            "user runs with it; add a condition, such as process.title"
        )
