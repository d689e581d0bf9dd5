"""A fleet on one machine: many hosts, each with a spool and a shipper, and one receiver.

    python bench/fleet.py [--hosts N] [--receiver NAME]... [--uncapped] [--json FILE]

Each simulated host is a process: a `Detector` reads the events of a burst, as `replay` does with a capture.
Its alerts go through `AcknowledgedSinkProcess` into a spool, and a shipper delivers them. Three phases:

1. steady: each host makes an alert per second; latency is the time until the receiver has acknowledged it;
2. outage: the receiver is stopped, and each host spools the alerts of an hour at once: 1,200, because 100 in
   5 minutes are the limit;
3. recovery: the receiver is started again. Its CPU and the documents that it takes are sampled each second.

The shippers are the class `Shipper` with its limits of rate and its waits, as `auditsense ship` runs it, in
separate processes. --uncapped removes the limits. It needs the receivers of scripts/install_receivers.sh and
no privilege.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditsense import Detector, Host
from auditsense.ship import pace
from auditsense.ship.config import ShipSettings, open_destination
from auditsense.ship.shipper import Shipper
from auditsense.sinks.acknowledged import AcknowledgedSinkProcess
from auditsense.sinks.fanout import SinkSet
from auditsense.sinks.spool import SpoolSink
from auditsense.testing import burst
from bench.delivery import RECEIVERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.sharedctypes import Synchronized
    from typing import Any

    from tests.support.real_receivers import RealReceiver

HOURLY = 1200
STEADY_S = 20
LIMIT_S = 240.0


@dataclass
class Result:
    """Figures of one receiver.

    Attributes:
        hosts: simulated.
        alerts: of all hosts.
        latency_ms: steady, from the alert to the receiver's acknowledgement: median, 99th percentile.
        host_mib: memory of a host's shipper, its largest resident set; median.
        steady_cpu: share of one processor that the receiver uses.
        outage_documents: that waited when the receiver came back.
        recovery_s: until all spools were empty.
        recovery_rate: documents per second: in the first five seconds, and the most in one second.
        recovery_cpu: the receiver's share of one processor: median and most.
        receiver_mib: the receiver's largest resident set.
        lost: alerts that the receiver does not have.
        stored_twice: alerts that it stores more than once.
    """

    hosts: int
    alerts: int = 0
    latency_ms: list[float] = field(default_factory=list)
    host_mib: float = 0.0
    steady_cpu: float = 0.0
    outage_documents: int = 0
    recovery_s: float = 0.0
    recovery_rate: list[float] = field(default_factory=list)
    recovery_cpu: list[float] = field(default_factory=list)
    receiver_mib: float = 0.0
    lost: int = 0
    stored_twice: int = 0


@dataclass(frozen=True)
class Shared:
    """What the processes share with the bench.

    Attributes:
        phase: 1 to 3; 0: end.
        spooled: documents that are committed.
        delivered: documents that are acknowledged.
        ids: of all alerts.
        latencies: in ms, of phase 1.
        memory: of shippers, in KiB.
        capped: whether shippers limit their rate.
    """

    phase: Synchronized[int]
    spooled: Synchronized[int]
    delivered: Synchronized[int]
    ids: Any
    latencies: Any
    memory: Any
    capped: bool


def alerts(number: int, first: int, count: int) -> Iterator[tuple[bytes, Any]]:
    """Yield alerts of a host: each burst is another process, so each is a separate alert."""
    host = Host(f"{number:032x}", f"host-{number}")
    for n in range(first, first + count):
        with Detector(host=host) as detector:
            text = b"".join(event.text for event in burst(10, pid=1000 + n, serial=3 + 10 * n))
            (alert,) = detector.feed_text(text)
        yield alert["event"]["id"].encode(), alert


def run_host(number: int, folder: Path, shared: Shared) -> None:
    """Make alerts and spool them, in a process per host."""
    os.nice(5)
    process = AcknowledgedSinkProcess(SpoolSink(folder), "spool")
    process.start()
    sinks = SinkSet([process], Host(f"{number:032x}", f"host-{number}"))
    ids = []
    made = 0
    ready = list(alerts(number, 0, 1))

    def send(document: Any) -> None:  # noqa: ANN401 - any document
        sinks.send([document])

    due_s = time.monotonic() + number % 50 / 50
    while shared.phase.value == 1:
        if time.monotonic() >= due_s:
            due_s += 1.0
            name, document = ready.pop()
            ids.append(name.decode())
            document["auditsense"]["note"] = f"sent {time.monotonic_ns()}"
            send(document)
            made += 1
            ready = list(alerts(number, made, 1))
        process.poll()
        time.sleep(0.01)
    # An hour at once. The alerts differ in the id only: detection is not measured here.
    name, document = ready.pop()
    for n in range(HOURLY):
        document["event"]["id"] = f"{name.decode()[:24]}{n:08x}"
        ids.append(document["event"]["id"])
        send(document)
        if n % 50 == 0:
            process.poll()
    while process.counts.pending:
        process.poll()
        time.sleep(0.01)
    assert (process.counts.failed, process.counts.dropped) == (0, 0), process.counts
    with shared.spooled.get_lock():
        shared.spooled.value += process.counts.written
    process.close()
    shared.ids.put(ids)


def run_shipper(folder: Path, url: str, shared: Shared) -> None:
    """Deliver a spool, in a process per host."""
    os.nice(5)
    destination = open_destination(ShipSettings(url, timeout_s=10.0))
    latencies = []
    send = destination.send

    def timed(documents: Any) -> Any:  # noqa: ANN401 - as Destination.send
        outcome = send(documents)
        now = time.monotonic_ns()
        taken = len(documents) - len(outcome.refused) - len(outcome.again)
        with shared.delivered.get_lock():
            shared.delivered.value += taken
        if shared.phase.value == 1:
            for one in documents:
                note = str(one.fields["auditsense"].get("note", ""))
                if note.startswith("sent "):
                    latencies.append((now - int(note.split()[1])) / 1e6)
        return outcome

    destination.send = timed  # type: ignore[method-assign]
    shipper = Shipper(folder, destination, lambda _: None, rate=1000.0 if shared.capped else 0.0)
    if not shared.capped:
        pace.FIRST_RATE = 1e9  # type: ignore[misc]
    while not (folder / "spool.db").exists():
        time.sleep(0.05)

    def watch() -> None:
        while shared.phase.value:
            time.sleep(0.2)
        shipper.stop()

    threading.Thread(target=watch).start()
    shipper.run()
    shared.latencies.put(latencies)
    shared.memory.put(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def cpu_and_mib(pid: int) -> tuple[float, float]:
    """Return the CPU seconds of a process so far, and its largest resident set in MiB."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    return seconds, peak / 1024


@contextmanager
def fleet(folder: Path, url: str, hosts: int, shared: Shared) -> Iterator[None]:
    """Run hosts and shippers."""
    context = multiprocessing.get_context("fork")
    processes = []
    for number in range(hosts):
        spool = folder / f"spool-{number}"
        processes += [
            context.Process(target=run_host, args=(number, spool, shared)),
            context.Process(target=run_shipper, args=(spool, url, shared)),
        ]
    for process in processes:
        process.start()
    try:
        yield
    finally:
        shared.phase.value = 0
        for process in processes:
            process.join(30)
            if process.is_alive():
                process.kill()


def measure(name: str, folder: Path, hosts: int, *, capped: bool) -> Result:
    """Run a fleet against one receiver."""
    context = multiprocessing.get_context("fork")
    phase, spooled, delivered = (context.Value("q", start) for start in (1, 0, 0))
    ids, latencies_of, memory_of = (context.Queue() for _ in range(3))
    shared = Shared(phase, spooled, delivered, ids, latencies_of, memory_of, capped)
    started, prepare, ids_of = RECEIVERS[name]
    result = Result(hosts)
    with started(folder) as receiver:
        prepare(receiver)
        with fleet(folder, receiver.url, hosts, shared):
            _steady(receiver, shared, result)
            receiver.kill()
            shared.phase.value = 2
            expected = [one for _ in range(hosts) for one in shared.ids.get(timeout=LIMIT_S)]
            result.alerts = len(expected)
            assert shared.spooled.value == result.alerts
            time.sleep(12)  # from 10 s of failures on it is an outage
            result.outage_documents = result.alerts - shared.delivered.value
            receiver.start()
            shared.phase.value = 3
            _recover(receiver, shared, result)
            shared.phase.value = 0
            latencies = [one for _ in range(hosts) for one in shared.latencies.get(timeout=LIMIT_S)]
            result.latency_ms = [round(median(latencies), 1), round(quantiles(latencies, n=100)[98], 1)]
            memory = [shared.memory.get(timeout=LIMIT_S) / 1024 for _ in range(hosts)]
            result.host_mib = round(median(memory), 1)
        stored = ids_of(receiver)
    result.lost = len(set(expected) - set(stored))
    result.stored_twice = len(stored) - len(set(stored))
    return result


def _steady(receiver: RealReceiver, shared: Shared, result: Result) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while shared.delivered.value < 2 * result.hosts:  # until all have started
        assert time.monotonic() < deadline_s, "the fleet does not start"
        time.sleep(0.1)
    before, _ = cpu_and_mib(receiver.pid)
    time.sleep(STEADY_S)
    after, _ = cpu_and_mib(receiver.pid)
    result.steady_cpu = round((after - before) / STEADY_S, 3)


def _recover(receiver: RealReceiver, shared: Shared, result: Result) -> None:
    started_s = last_s = time.monotonic()
    delivered = shared.delivered.value
    cpu_s, _ = cpu_and_mib(receiver.pid)
    rates, shares = [], []
    while shared.delivered.value < result.alerts:
        assert time.monotonic() - started_s < LIMIT_S, "the fleet does not recover"
        time.sleep(1.0)
        now_s, now, (now_cpu_s, peak) = time.monotonic(), shared.delivered.value, cpu_and_mib(receiver.pid)
        rates.append((now - delivered) / (now_s - last_s))
        shares.append((now_cpu_s - cpu_s) / (now_s - last_s))
        last_s, delivered, cpu_s = now_s, now, now_cpu_s
        result.receiver_mib = round(peak, 1)
    result.recovery_s = round(last_s - started_s, 1)
    result.recovery_rate = [round(sum(rates[:5]) / len(rates[:5])), round(max(rates))]
    result.recovery_cpu = [round(median(shares), 2), round(max(shares), 2)]


def main() -> int:
    """Run, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--receiver", choices=RECEIVERS, action="append")
    parser.add_argument("--uncapped", action="store_true", help="without the limits of rate")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = {}
    for name in arguments.receiver or ["nats", "opensearch"]:
        with tempfile.TemporaryDirectory() as folder:
            rows[name] = vars(measure(name, Path(folder), arguments.hosts, capped=not arguments.uncapped))
        print(name, json.dumps(rows[name]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 1 if any(row["lost"] for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
