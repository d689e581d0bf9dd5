"""auditsense: a native Linux audit sensor. These names are the public interface.

Importing does nothing but import; what talks to the kernel is loaded when a `Sensor` is entered.
"""

from auditsense.alerts import AlertPolicy
from auditsense.detections.load import load as load_detections
from auditsense.detections.load import shipped as shipped_detections
from auditsense.detections.model import Detection
from auditsense.detector import Detector, View
from auditsense.documents import Document
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
from auditsense.host import Host
from auditsense.ring import Limits, Stats, core_version
from auditsense.sensor import Sensor

__version__ = core_version()

__all__ = [
    "AlertPolicy",
    "AuditRuleError",
    "AuditSenseError",
    "BusyError",
    "ClosedError",
    "Detection",
    "DetectionError",
    "Detector",
    "Document",
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
    "load_detections",
    "shipped_detections",
]
