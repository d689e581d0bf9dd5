"""auditsense: a native Linux audit sensor. These names are the public interface.

Detections are built and loaded with `auditsense.detections`; `auditsense.testing` is for tests of embedders.
Importing loads the core; every other name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense._lazy import lazy_names
from auditsense.core.ring import core_version

if TYPE_CHECKING:  # for type checkers, the same names: tests/test_public_api.py compares them
    from auditsense.core.ring import Limits as Limits
    from auditsense.core.rule_table import Field as Field
    from auditsense.core.stats import Stats as Stats
    from auditsense.detect.alert_policy import AlertCounts as AlertCounts
    from auditsense.detect.alert_policy import AlertPolicy as AlertPolicy
    from auditsense.detect.detector import Detector as Detector
    from auditsense.detect.document_types import Document as Document
    from auditsense.detect.event_reader import EventReader as EventReader
    from auditsense.detect.events import Event as Event
    from auditsense.detect.host import Host as Host
    from auditsense.detect.losses import Losses as Losses
    from auditsense.detect.rows import RowReader as RowReader
    from auditsense.detect.view import View as View
    from auditsense.detections.loader import load_detections as load_detections
    from auditsense.detections.loader import shipped_detections as shipped_detections
    from auditsense.detections.model import Detection as Detection
    from auditsense.errors import AuditRuleError as AuditRuleError
    from auditsense.errors import AuditSenseError as AuditSenseError
    from auditsense.errors import BusyError as BusyError
    from auditsense.errors import ClosedError as ClosedError
    from auditsense.errors import DetectionError as DetectionError
    from auditsense.errors import InputError as InputError
    from auditsense.errors import KernelCommandError as KernelCommandError
    from auditsense.errors import LockedError as LockedError
    from auditsense.errors import NoKernelAuditError as NoKernelAuditError
    from auditsense.errors import SocketTakenError as SocketTakenError
    from auditsense.errors import UsageError as UsageError
    from auditsense.sensor.aio import Queue as Queue
    from auditsense.sensor.clock import Clock as Clock
    from auditsense.sensor.sensor import Sensor as Sensor
    from auditsense.sources.base import Cleanup as Cleanup
    from auditsense.sources.base import Source as Source
    from auditsense.sources.multicast import Multicast as Multicast
    from auditsense.sources.unicast import Unicast as Unicast

_MODULES = {
    "AlertCounts": "detect.alert_policy",
    "AlertPolicy": "detect.alert_policy",
    "AuditRuleError": "errors",
    "AuditSenseError": "errors",
    "BusyError": "errors",
    "Cleanup": "sources.base",
    "Clock": "sensor.clock",
    "ClosedError": "errors",
    "Detection": "detections.model",
    "DetectionError": "errors",
    "Detector": "detect.detector",
    "Document": "detect.document_types",
    "Event": "detect.events",
    "EventReader": "detect.event_reader",
    "Field": "core.rule_table",
    "Host": "detect.host",
    "InputError": "errors",
    "KernelCommandError": "errors",
    "Limits": "core.ring",
    "LockedError": "errors",
    "Losses": "detect.losses",
    "Multicast": "sources.multicast",
    "NoKernelAuditError": "errors",
    "Queue": "sensor.aio",
    "RowReader": "detect.rows",
    "Sensor": "sensor.sensor",
    "SocketTakenError": "errors",
    "Source": "sources.base",
    "Stats": "core.stats",
    "Unicast": "sources.unicast",
    "UsageError": "errors",
    "View": "detect.view",
    "load_detections": "detections.loader",
    "shipped_detections": "detections.loader",
}

__version__ = core_version()
__all__ = [*_MODULES, "__version__"]  # noqa: PLE0604 - names, all of them
if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_names(__name__, _MODULES)
