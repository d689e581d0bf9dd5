"""auditsense: a native Linux audit sensor. These names are the public interface.

Importing loads the core and what it needs; every other name is loaded when it is first used, so that a
command that ends soon does not wait for what it never asks for. What talks to the kernel is loaded when a
`Sensor` is entered.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from auditsense.core.ring import Limits, Stats, core_version

if TYPE_CHECKING:
    from auditsense.core.rule_table import Field
    from auditsense.detect.alerts import AlertPolicy
    from auditsense.detect.detector import Detector, View
    from auditsense.detect.ecs import Document
    from auditsense.detect.events import Event
    from auditsense.detect.host import Host
    from auditsense.detections.builder import define, exists, is_not, like, number, unlike
    from auditsense.detections.exceptions import except_for, with_exceptions
    from auditsense.detections.loader import known_harmless, load_exceptions
    from auditsense.detections.loader import load as load_detections
    from auditsense.detections.loader import shipped as shipped_detections
    from auditsense.detections.model import Detection, DetectionExcept
    from auditsense.errors import (
        AuditRuleError,
        AuditSenseError,
        BusyError,
        ClosedError,
        DetectionError,
        InputError,
        KernelCommandError,
        LockedError,
        NoKernelAuditError,
        SocketTakenError,
        UsageError,
    )
    from auditsense.sensor.sensor import Sensor

__version__ = core_version()

__all__ = [
    "AlertPolicy",
    "AuditRuleError",
    "AuditSenseError",
    "BusyError",
    "ClosedError",
    "Detection",
    "DetectionError",
    "DetectionExcept",
    "Detector",
    "Document",
    "Event",
    "Field",
    "Host",
    "InputError",
    "KernelCommandError",
    "Limits",
    "LockedError",
    "NoKernelAuditError",
    "Sensor",
    "SocketTakenError",
    "Stats",
    "UsageError",
    "View",
    "__version__",
    "define",
    "except_for",
    "exists",
    "is_not",
    "known_harmless",
    "like",
    "load_detections",
    "load_exceptions",
    "number",
    "shipped_detections",
    "unlike",
    "with_exceptions",
]

# Where a name is at home, and what it is called there when that is something else.
_HOMES = {
    "AlertPolicy": "detect.alerts",
    "Detection": "detections.model",
    "DetectionExcept": "detections.model",
    "Detector": "detect.detector",
    "Document": "detect.ecs",
    "Event": "detect.events",
    "Field": "core.rule_table",
    "Host": "detect.host",
    "Sensor": "sensor.sensor",
    "View": "detect.detector",
    "define": "detections.builder",
    "except_for": "detections.exceptions",
    "exists": "detections.builder",
    "is_not": "detections.builder",
    "like": "detections.builder",
    "number": "detections.builder",
    "unlike": "detections.builder",
    "known_harmless": "detections.loader",
    "load_exceptions": "detections.loader",
    "with_exceptions": "detections.exceptions",
    "load_detections": "detections.loader:load",
    "shipped_detections": "detections.loader:shipped",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first asked for; afterwards it is here."""
    if name not in __all__:
        raise AttributeError(f"module 'auditsense' has no attribute {name!r}")
    home, _, there = _HOMES.get(name, "errors").partition(":")
    value = getattr(importlib.import_module(f"auditsense.{home}"), there or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
