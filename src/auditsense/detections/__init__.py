"""Detections describe what is suspicious. They are loaded from TOML or defined in code.

A detection is not an audit rule: an audit rule tells the kernel what to report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense._lazy import lazy_names

if TYPE_CHECKING:  # for type checkers, the same names: tests/test_public_api.py compares them
    from auditsense.detections.builder import define as define
    from auditsense.detections.builder import exists as exists
    from auditsense.detections.builder import is_not as is_not
    from auditsense.detections.builder import like as like
    from auditsense.detections.builder import number as number
    from auditsense.detections.builder import unlike as unlike
    from auditsense.detections.exceptions import except_for as except_for
    from auditsense.detections.exceptions import with_exceptions as with_exceptions
    from auditsense.detections.loader import known_harmless as known_harmless
    from auditsense.detections.loader import load_detections as load_detections
    from auditsense.detections.loader import load_exceptions as load_exceptions
    from auditsense.detections.loader import shipped_detections as shipped_detections
    from auditsense.detections.model import AttackEntry as AttackEntry
    from auditsense.detections.model import Comparison as Comparison
    from auditsense.detections.model import Condition as Condition
    from auditsense.detections.model import Detection as Detection
    from auditsense.detections.model import DetectionException as DetectionException
    from auditsense.detections.model import Severity as Severity
    from auditsense.detections.model import Threat as Threat
    from auditsense.detections.model import Window as Window

_MODULES = {
    "AttackEntry": "detections.model",
    "Comparison": "detections.model",
    "Condition": "detections.model",
    "Detection": "detections.model",
    "DetectionException": "detections.model",
    "Severity": "detections.model",
    "Threat": "detections.model",
    "Window": "detections.model",
    "define": "detections.builder",
    "except_for": "detections.exceptions",
    "exists": "detections.builder",
    "is_not": "detections.builder",
    "known_harmless": "detections.loader",
    "like": "detections.builder",
    "load_detections": "detections.loader",
    "load_exceptions": "detections.loader",
    "number": "detections.builder",
    "shipped_detections": "detections.loader",
    "unlike": "detections.builder",
    "with_exceptions": "detections.exceptions",
}

__all__ = [*_MODULES]  # noqa: PLE0604 - names, all of them
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _MODULES)
