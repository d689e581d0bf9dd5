"""Configuration as text: `config dump`, the sample file and the tables of docs/configuration.md."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from auditsense.config.keys import KEYS, REPEATED, TABLES
from auditsense.config.loader import ConfigValue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditsense.config.loader import LoadedConfig
    from auditsense.config.option import Key

_WIDTH = 100


def dump(config: LoadedConfig) -> str:
    """Return the active configuration as TOML that loads to the same values.

    A comment states the origin of each value that differs from its default. A key that is not set is
    commented out.
    """
    lines = ["# " + ", ".join(map(str, config.files)) if config.files else "# no configuration file"]
    for table in TABLES:
        lines += ["", f"[{table}]"]
        for key in _of(table):
            configured = _configured(config, key)
            lines += _comment(key)
            if configured is None:
                lines.append(_line(key, key.default))
                continue
            if configured.value != key.default:
                lines.append(f"# from {configured.origin}")
            lines.append(_line(key, configured.value))
    for table in REPEATED:
        for entry in config.tables.get(table, []):
            lines += ["", f"# from {entry.origin}", f"[[{table}]]"]
            lines += [_line(key, entry.values[key.name]) for key in _of(table) if key.name in entry.values]
    return _joined(lines)


def _configured(config: LoadedConfig, key: Key) -> ConfigValue | None:
    """Return the value of a key. The folder of detections, which has no key, is one of the paths."""
    configured = config.values.get(key.path)
    folder = config.detections
    if key.path != "detections.paths" or folder is None or not any(folder.rglob("*.toml")):
        return configured
    if configured is None:
        return ConfigValue((str(folder),), str(folder))
    return ConfigValue((str(folder), *configured.value), f"{folder} and {configured.origin}")


def sample() -> str:
    """Return a file with every key commented out, at its default."""
    lines = [
        "# Configuration of auditsense: /etc/auditsense/auditsense.toml. Each key has its default.",
        "# Files in /etc/auditsense/conf.d/ are read after this one. `auditsense config check` validates it;",
        "# SIGHUP makes a running sensor reload it. Reference: man auditsense.toml.",
    ]
    for table, purpose in TABLES.items():
        lines += ["", *_wrapped(purpose), f"[{table}]"]
        for key in _of(table):
            lines += ["", *_comment(key), *_commented(_line(key, key.default))]
    for table, purpose in REPEATED.items():
        lines += ["", *_wrapped(purpose), f"# [[{table}]]"]
        for key in _of(table):
            lines += ["#", *_comment(key), *_commented(_line(key, key.default))]
    return _joined(lines)


def reference() -> str:
    """Return the tables of docs/configuration.md."""
    lines: list[str] = []
    for table, purpose in {**TABLES, **REPEATED}.items():
        header = f"[[{table}]]" if table in REPEATED else f"[{table}]"
        lines += [
            f"### `{header}`",
            "",
            purpose,
            "",
            "| key | type | default | flag | |",
            "|---|---|---|---|---|",
        ]
        for key in _of(table):
            default = "" if key.default is None else f"`{key.to_toml(key.default)}`"
            type_ = key.type.value + (f", {bounds}" if (bounds := key.bounds()) else "")
            description = key.description + (" **Required.**" if key.required else "")
            description += " *Needs a restart.*" if key.startup_only else ""
            flag = f"`{key.flag}`" if key.flag else ""
            lines.append(
                f"| `{key.name}` | {type_} | {default} | {flag} | {description} |".replace("|  |", "| |")
            )
        lines.append("")
    return "\n".join(lines)


def _of(table: str) -> Iterator[Key]:
    return (key for key in KEYS if key.table == table)


def _line(key: Key, value: object) -> str:
    if value is None:
        return f"# {key.name} = {key.to_toml(key.example)}"
    return f"{key.name} = {key.to_toml(value)}"


def _comment(key: Key) -> list[str]:
    notes = [key.bounds()]
    notes += [f"flag {key.flag}"] if key.flag else []
    notes += ["needs a restart"] if key.startup_only else []
    facts = "; ".join(note for note in notes if note)
    return _wrapped(f"{key.description} ({key.type.value}{', ' if facts else ''}{facts})")


def _wrapped(text: str) -> list[str]:
    return [
        "# " + line
        for line in textwrap.wrap(text, _WIDTH - 2, break_long_words=False, break_on_hyphens=False)
    ]


def _commented(text: str) -> list[str]:
    return [line if line.startswith("#") else f"# {line}" for line in text.splitlines()]


def _joined(lines: list[str]) -> str:
    return "\n".join(lines) + "\n"
