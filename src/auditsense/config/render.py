"""The configuration as text: what is in force, the sample file, docs/configuration.md. Made of `declared`."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from auditsense.config.schema import KEYS, REPEATED, TABLES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditsense.config.loader import Read
    from auditsense.config.option import Key

_WIDTH = 100


def dump(found: Read) -> str:
    """Return what is in force as TOML that loads again to the same values.

    What differs from the default says where it came from; what is not set stands in a comment.
    """
    lines = ["# " + ", ".join(map(str, found.files)) if found.files else "# no configuration file"]
    for table in TABLES:
        lines += ["", f"[{table}]"]
        for key in _of(table):
            one = found.values.get(key.path)
            lines += _comment(key)
            if one is None:
                lines.append(_line(key, key.default))
                continue
            if one.value != key.default:
                lines.append(f"# from {one.origin}")
            lines.append(_line(key, one.value))
    for table in REPEATED:
        for entry in found.tables.get(table, []):
            lines += ["", f"# from {entry.origin}", f"[[{table}]]"]
            lines += [_line(key, entry.values[key.name]) for key in _of(table) if key.name in entry.values]
    return _joined(lines)


def sample() -> str:
    """Return a file with every key in a comment, at its default."""
    lines = [
        "# Configuration of auditsense: /etc/auditsense/auditsense.toml. Each key stands at its default.",
        "# Files in /etc/auditsense/conf.d/ are read after this one. `auditsense config check` tries it;",
        "# SIGHUP makes a running sensor read it again. Reference: docs/configuration.md.",
    ]
    for table, what in TABLES.items():
        lines += ["", *_wrapped(what), f"[{table}]"]
        for key in _of(table):
            lines += ["", *_comment(key), *_commented(_line(key, key.default))]
    for table, what in REPEATED.items():
        lines += ["", *_wrapped(what), f"# [[{table}]]"]
        for key in _of(table):
            lines += ["#", *_comment(key), *_commented(_line(key, key.default))]
    return _joined(lines)


def reference() -> str:
    """Return the tables of docs/configuration.md."""
    lines: list[str] = []
    for table, what in {**TABLES, **REPEATED}.items():
        header = f"[[{table}]]" if table in REPEATED else f"[{table}]"
        lines += [
            f"### `{header}`",
            "",
            what,
            "",
            "| key | type | default | flag | |",
            "|---|---|---|---|---|",
        ]
        for key in _of(table):
            default = "" if key.default is None else f"`{key.written(key.default)}`"
            kind = key.kind.value + (f", {bounds}" if (bounds := key.bounds()) else "")
            says = key.says + (" **Must be there.**" if key.required else "")
            says += " *Needs a restart.*" if key.fixed else ""
            flag = f"`{key.flag}`" if key.flag else ""
            lines.append(f"| `{key.name}` | {kind} | {default} | {flag} | {says} |".replace("|  |", "| |"))
        lines.append("")
    return "\n".join(lines)


def _of(table: str) -> Iterator[Key]:
    return (key for key in KEYS if key.table == table)


def _line(key: Key, value: object) -> str:
    if value is None:
        return f"# {key.name} = {key.written(key.example)}"
    return f"{key.name} = {key.written(value)}"


def _comment(key: Key) -> list[str]:
    notes = [key.bounds()]
    notes += [f"flag {key.flag}"] if key.flag else []
    notes += ["needs a restart"] if key.fixed else []
    said = "; ".join(note for note in notes if note)
    return _wrapped(f"{key.says} ({key.kind.value}{', ' if said else ''}{said})")


def _wrapped(text: str) -> list[str]:
    return [
        "# " + line
        for line in textwrap.wrap(text, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    ]


def _commented(text: str) -> list[str]:
    return [line if line.startswith("#") else f"# {line}" for line in text.splitlines()]


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
