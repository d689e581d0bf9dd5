"""Alerts with context: the system calls that the process of an alert has made, from the same sensor."""

import contextlib
import json
from collections import Counter

import auditsense


class Agent:
    """Prints each alert with the calls of its process."""

    def __init__(self, source: auditsense.Source | None = None) -> None:
        self.calls: Counter[tuple[int | None, str | None]] = Counter()
        self.sensor = auditsense.Sensor(source=source, on_event=self.count)

    def count(self, event: auditsense.Event) -> None:
        """Count an event. Called before the alert that it completes is returned, so it must not block."""
        self.calls[event.pid, event.syscall] += 1

    def run(self) -> None:
        """Print alerts until the sensor is stopped."""
        with self.sensor:
            for alert in self.sensor:
                process = alert.get("process", {}).get("pid")
                calls = {call: count for (pid, call), count in self.calls.items() if pid == process}
                print(json.dumps({"alert": alert, "calls": calls}), flush=True)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        Agent().run()
