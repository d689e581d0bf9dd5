"""Embeds the package and records its effects on the process; tests/project/test_isolation.py runs it.

    python -I -S -B embedding_program.py REPORT FOLDER…      FOLDER: to import from, the package's first

Writes a JSON report: what was before and after, and what the interpreter's audit hook saw in each phase.
"""

from __future__ import annotations

import gc
import importlib
import json
import logging
import os
import signal
import sys
import threading
import warnings

phase = "before"
seen: list[tuple[str, str, str]] = []


def hook(event: str, arguments: tuple[object, ...]) -> None:
    """Keep what happens, by phase."""
    if phase != "before":
        seen.append((phase, event, repr(arguments[:2])))


def state() -> dict[str, object]:
    """Return what belongs to the program that embeds, each under the name of its test."""
    with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123 - loads nothing
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:  # noqa: PTH123
        children = file.read()
    root = logging.getLogger()
    return {
        "signals": {str(number): repr(signal.getsignal(number)) for number in signal.valid_signals()},
        "signal mask": [status[name] for name in ("SigBlk", "SigIgn", "SigCgt")],
        "threads": [status["Threads"], threading.active_count()],
        "children": children,
        "folder": os.getcwd(),  # noqa: PTH109 - loads nothing
        "umask": status["Umask"],
        "logging": [repr(root.handlers), root.level, root.manager.disable, sorted(root.manager.loggerDict)],
        "environment": dict(os.environ),
        "warnings": [repr(warnings.filters), repr(warnings.showwarning)],
        "hooks": [repr(one) for one in (sys.excepthook, sys.unraisablehook, sys.displayhook, sys.stdout)],
        "collector": [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count(), len(gc.callbacks)],
        "capabilities": [status[name] for name in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")],
        "path": list(sys.path),
        "descriptors": sorted(os.listdir("/proc/self/fd")),  # noqa: PTH208 - loads nothing
    }


def main(report: str) -> None:
    """Import, detect, and watch a kernel in memory."""
    global phase  # noqa: PLW0603 - one program, one phase at a time
    sys.addaudithook(hook)
    states = {"before": state()}
    modules = set(sys.modules)

    phase = "import"
    import auditsense  # noqa: PLC0415 - watched

    phase = "before"
    states["import"] = state()
    loaded = sorted({*sys.modules} - modules)

    from auditsense.testing import burst  # noqa: PLC0415 - after the import that is watched

    datagrams = [one for event in burst(12) for one in event.datagrams]
    phase = "make"
    detector = auditsense.Detector()
    phase = "first"
    documents = detector.feed(datagrams)
    phase = "detect"
    documents += detector.feed_text(b"".join(event.text for event in burst(12, pid=7, serial=900)))
    documents += detector.tick(log_ms=2_000_000_000_000) + detector.finish()
    detector.stats()
    detector.close()
    phase = "before"
    states["detect"] = state()

    audit = importlib.import_module("tests.support.in_memory").audit

    with audit(datagrams) as (kernel, source):
        before = kernel.host_state()
        made = source()
        phase = "sensor"
        with auditsense.Sensor(source=made) as sensor:
            within = state()
            documents += sensor.poll()
            sensor.wait(0)
            documents += sensor.finish()
        phase = "before"
        restored = kernel.host_state() == before
    states["sensor"] = state()
    with open(report, "w", encoding="utf-8") as file:  # noqa: PTH123 - loads nothing
        json.dump(
            {
                "states": states,
                "within": within,
                "seen": seen,
                "loaded": loaded,
                "documents": len(documents),
                "restored": restored,
            },
            file,
        )


if __name__ == "__main__":
    sys.path[:0] = [*sys.argv[2:], os.path.abspath(f"{__file__}/../../..")]  # noqa: PTH100 - loads nothing
    main(sys.argv[1])
