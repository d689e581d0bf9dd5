"""A status document and a spool's state as metrics, in the text format of Prometheus (version 0.0.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditsense.sinks.spool_store import SpoolState

_COUNTERS: Final = {
    "records": "Records read.",
    "events": "Events, self-tests included.",
    "matches": "Events that a detection selects.",
    "sequences": "Completed windows.",
    "malformed": "Lines that are no audit record.",
    "evicted": "Events decided early because the table was full.",
    "keys_evicted": "Windows evicted because the table was full.",
}
_OUTCOMES: Final = ("alerts", "suppressed", "updates", "closed", "withheld", "delayed")
_DELIVERY: Final = {
    "delivered": "Documents that a receiver has acknowledged.",
    "duplicates_sent": "Delivered documents that the receiver had already.",
    "refused": "Documents that were set apart.",
    "discarded": "Documents set apart that were discarded because there were too many.",
    "duplicates": "Documents that the spool had already.",
}
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class _Metrics:
    """Lines of a text, each metric with its help and type."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, name: str, kind: str, description: str, *samples: tuple[Mapping[str, str], Any]) -> None:
        """Add a metric; a sample without a value is left out, and so is a metric without samples."""
        known = [(labels, value) for labels, value in samples if value is not None]
        if not known:
            return
        self.lines += [f"# HELP auditsense_{name} {description}", f"# TYPE auditsense_{name} {kind}"]
        for labels, value in known:
            text = ",".join(f'{label}="{str(word).translate(_ESCAPES)}"' for label, word in labels.items())
            shown = f"{{{text}}}" if text else ""
            self.lines.append(f"auditsense_{name}{shown} {_number(value)}")

    def text(self) -> str:
        return "\n".join(self.lines)


def _number(value: float) -> str:
    return str(int(value)) if isinstance(value, bool) else repr(value)


def sensor_metrics(document: Mapping[str, Any] | None) -> str:
    """Return the metrics of a sensor, without a line end; None: no sensor answers.

    A field that the document lacks has no metric.
    """
    metrics = _Metrics()
    metrics.add("up", "gauge", "Whether a sensor answers.", ({}, int(document is not None)))
    if document is None:
        return metrics.text()
    version = {"version": str(document.get("auditsense"))}
    metrics.add("build_info", "gauge", "Version of the sensor.", (version, 1))
    started = document.get("started")
    metrics.add("start_time_seconds", "gauge", "Start of the sensor, since 1970.", ({}, started))
    counters = document.get("counters") or {}
    for name, description in _COUNTERS.items():
        metrics.add(f"{name}_total", "counter", description, ({}, counters.get(name)))
    _add_findings(metrics, document)
    _add_losses(metrics, document)
    _add_kernel(metrics, document)
    _add_sinks(metrics, document.get("sinks") or [])
    process = document.get("process") or {}
    cpu, memory = process.get("cpu_s"), process.get("memory_peak_bytes")
    metrics.add("process_cpu_seconds_total", "counter", "CPU time of the sensor.", ({}, cpu))
    metrics.add("process_memory_peak_bytes", "gauge", "Most memory of the sensor so far.", ({}, memory))
    return metrics.text()


def _add_findings(metrics: _Metrics, document: Mapping[str, Any]) -> None:
    detections = [
        ({"detection": entry["id"]}, entry.get("alerts")) for entry in document.get("detection_counts") or []
    ]
    metrics.add("detection_alerts_total", "counter", "Alerts by detection.", *detections)
    alerts = document.get("alerts") or {}
    outcomes = [({"outcome": name}, alerts.get(name)) for name in _OUTCOMES]
    metrics.add("sequences_by_outcome_total", "counter", "What became of completed windows.", *outcomes)
    last = (document.get("last_alert") or {}).get("time")
    metrics.add("last_alert_timestamp_seconds", "gauge", "Time of the newest alert.", ({}, last))
    record = document.get("last_record")
    metrics.add("last_record_timestamp_seconds", "gauge", "Time of the newest record.", ({}, record))


def _add_losses(metrics: _Metrics, document: Mapping[str, Any]) -> None:
    losses = document.get("losses") or {}
    metrics.add("lost_total", "counter", "Records and events known to be lost.", ({}, losses.get("known")))
    causes = [({"cause": name}, count) for name, count in (losses.get("by_cause") or {}).items()]
    metrics.add("lost_by_cause_total", "counter", "Losses by cause.", *causes)
    test = document.get("self_test") or {}
    results = [({"result": name}, test.get(name)) for name in ("passed", "failed")]
    metrics.add(
        "self_tests_total", "counter", "Self-tests by result; a failed one is a blind sensor.", *results
    )


def _add_kernel(metrics: _Metrics, document: Mapping[str, Any]) -> None:
    kernel = document.get("kernel") or {}
    for name, description in (
        ("enabled", "Whether kernel audit is on: 0 off, 1 on, 2 locked."),
        ("backlog", "Records in the kernel's queue."),
        ("backlog_limit", "Size of the kernel's queue."),
    ):
        metrics.add(f"kernel_{name}", "gauge", description, ({}, kernel.get(name)))
    metrics.add("kernel_lost_total", "counter", "Records that the kernel lost.", ({}, kernel.get("lost")))
    owner = (document.get("source") or {}).get("owner")
    metrics.add("owns_socket", "gauge", "Whether the sensor owns the audit socket.", ({}, owner))


def _add_sinks(metrics: _Metrics, sinks: list[Mapping[str, Any]]) -> None:
    outcomes = [
        ({"sink": sink["name"], "outcome": outcome}, sink.get(outcome))
        for sink in sinks
        for outcome in ("written", "dropped", "failed")
    ]
    metrics.add("sink_documents_total", "counter", "Documents by sink and outcome.", *outcomes)
    queued = [({"sink": sink["name"]}, sink.get("queued_bytes")) for sink in sinks]
    metrics.add("sink_queued_bytes", "gauge", "Documents that wait for a sink.", *queued)
    failing = [({"sink": sink["name"]}, int(bool(sink.get("problem")))) for sink in sinks]
    metrics.add("sink_failing", "gauge", "Whether a sink writes nothing now.", *failing)


def spool_metrics(folder: str, state: SpoolState) -> str:
    """Return the metrics of a spool, without a line end."""
    metrics = _Metrics()
    label = {"spool": folder}
    for name, value, description in (
        ("documents", state.documents, "Documents that wait for delivery."),
        ("refused_documents", state.refused, "Documents that are set apart."),
        ("used_bytes", state.used_bytes, "Bytes that the documents take."),
    ):
        metrics.add(f"spool_{name}", "gauge", description, (label, value))
    for name, description in _DELIVERY.items():
        value = state.counters.get(name, 0)
        metrics.add(f"spool_{name}_total", "counter", description, (label, value))
    return metrics.text()
