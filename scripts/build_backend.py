"""Build backend: meson-python, but for one interpreter only if that has no GIL.

A free-threaded interpreter before 3.15 knows no stable ABI, and meson-python refuses to build what asks for
one. pyproject.toml cannot ask for it under a condition, hence this module.
"""

from __future__ import annotations

import sysconfig
from typing import Any

import mesonpy
from mesonpy import (
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

_OWN_ABI = "-Dpython.allow_limited_api=false"

Settings = dict[str, Any] | None


def _settings(settings: Settings) -> Settings:
    """Return what the caller set; without a GIL the interpreter's own ABI comes first."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return settings
    arguments = (settings or {}).get("setup-args", [])
    return {
        **(settings or {}),
        "setup-args": [_OWN_ABI, *([arguments] if isinstance(arguments, str) else arguments)],
    }


def build_sdist(sdist_directory: str, config_settings: Settings = None) -> str:
    """Build the archive of sources; returns its name."""
    built: str = mesonpy.build_sdist(sdist_directory, _settings(config_settings))
    return built


def build_wheel(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build the wheel; returns its name."""
    built: str = mesonpy.build_wheel(wheel_directory, _settings(config_settings), metadata_directory)
    return built


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """Build what an editable installation needs; returns its name."""
    built: str = mesonpy.build_editable(wheel_directory, _settings(config_settings), metadata_directory)
    return built
