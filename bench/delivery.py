"""Delivery under kill -9: what is lost, and what arrives twice.

    python bench/delivery.py [--documents N] [--kills N] [--seed N] [--receiver NAME]... [--json FILE]

A sensor (`auditsense run --source audisp`) reads events from a pipe and spools one document for each.
`auditsense ship` delivers them to a real receiver. At random moments SIGKILL ends the sensor, the process of
its spool, the shipper or the receiver. Each killed program is started again; what a killed sensor had read is
not given to the next one. At the end the whole log is replayed into the same spool, as is possible with
auditd's log. It needs the receivers of scripts/install_receivers.sh and no privilege.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditsense.errors import AuditSenseError
from auditsense.sinks.spool_store import SpoolStore
from auditsense.status.client import ask
from auditsense.testing import open_event
from tests.support import real_receivers

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.support.real_receivers import RealReceiver

PROGRAM = Path(sys.executable).with_name("auditsense")
BATCH = 20
TARGETS = ("sensor", "sink", "shipper", "receiver")
MAX_PENDING = 5000  # documents that the sensor may hold: its queue is bounded, and this is no test of that
UNREAD = 90  # events that the pipe holds
MOST_DELAY_S = 0.02  # that a sensor needs for them
LIMIT_S = 600.0
DETECTION = """\
id = "delivery"
name = "Every Open Of /proc"
version = 1
severity = "low"
risk_score = 21
audit_rule = "-w /proc/ -p r -k audit_proc"

[match]
"file.path" = "/proc"

[window]
by = ["process.pid"]
matches = 1
within = "1s"
"""


@dataclass
class Result:
    """Figures of one run.

    Attributes:
        documents: one for each event.
        kills: by what was killed.
        committed: documents that sensors had reported as written just before they were killed.
        lost: of these, documents that never arrived.
        lost_with_sensor: documents of events that a killed sensor had read, without those in the spool or in
            the pipe to its process.
        gaps: runs of consecutive events in which these were.
        lost_after_replay: documents that are missing after the log was replayed into the spool.
        stored_twice: documents that the receiver stores more than once.
        known: documents that it got again and recognised.
        seconds: until the spool was empty, without the replay.
    """

    documents: int
    kills: dict[str, int] = field(default_factory=dict)
    committed: int = 0
    lost: int = 0
    lost_with_sensor: int = 0
    gaps: int = 0
    lost_after_replay: int = 0
    stored_twice: int = 0
    known: int = 0
    seconds: float = 0.0


def event(n: int) -> bytes:
    """Return the records of an event, each by another process, as text."""
    return open_event(ms=1_795_493_114_674 + 10 * n, serial=3 + n, pid=1000 + n).text


def sensor_options(folder: Path) -> list[str | Path]:
    """Return options with which `run` and `replay` write the same documents to the same spool."""
    detection = folder / "delivery.toml"
    detection.write_text(DETECTION)
    return [
        *("--no-shipped", "--detections", detection, "-o", "sequences"),
        *("--sink", f"spool:{folder / 'spool'},size=1G"),
    ]


class Run:
    """One run: the three programs, and what kills them."""

    def __init__(self, folder: Path, receiver: RealReceiver, result: Result) -> None:
        self.folder = folder
        self.spool = folder / "spool"
        self.receiver = receiver
        self.result = result
        self.errors = (folder / "stderr.log").open("ab")
        self.options = sensor_options(folder)
        self.log = folder / "audit.log"
        self.log.write_bytes(b"".join(event(n) for n in range(result.documents)))
        self.moments: list[tuple[int, int]] = []  # of killed sensors: events fed, documents committed so far
        self.fed = 0
        self.events, self.input = os.pipe()
        self.sensor = self.start_sensor()
        while not (self.spool / "spool.db").exists():
            assert self.sensor.poll() is None, (folder / "stderr.log").read_text()
            time.sleep(0.05)
        self.shipper = self.start_shipper()

    def start_sensor(self) -> subprocess.Popen[bytes]:
        """Start a sensor that reads what the one before has left in the pipe, and wait until it reads."""
        status: list[str | Path] = ["--status-socket", self.folder / "control"]
        sensor = subprocess.Popen(
            [PROGRAM, "run", "--source", "audisp", *status, *self.options],
            stdin=self.events,
            stdout=self.errors,
            stderr=self.errors,
        )
        while self.counters(sensor) is None:
            assert sensor.poll() is None, (self.folder / "stderr.log").read_text()
            time.sleep(0.02)
        return sensor

    def counters(self, sensor: subprocess.Popen[bytes]) -> dict[str, int] | None:
        """Return a sensor's counters of its sink; None while it does not answer."""
        try:
            answer = ask(self.folder / "control")
        except AuditSenseError:
            return None
        if answer["pid"] != sensor.pid:
            return None
        counts: dict[str, int] = answer["sinks"][0]
        # Of what was written, documents about the sensor itself, such as one about its killed sink.
        return {**counts, "notices": counts["given"] - answer["counters"]["sequences"]}

    def start_shipper(self) -> subprocess.Popen[bytes]:
        """Start a shipper without a limit of its rate, so that kills and not waits decide."""
        options = [
            "--spool",
            str(self.spool),
            "--to",
            self.receiver.url,
            "--max-rate",
            "0",
            "--timeout",
            "5s",
        ]
        return subprocess.Popen([PROGRAM, "ship", *options], stderr=self.errors)

    def feed(self, count: int) -> None:
        """Write the next events into the pipe, which blocks while the sensor does not read."""
        count = min(count, self.result.documents - self.fed)
        rest = memoryview(b"".join(event(n) for n in range(self.fed, self.fed + count)))
        while rest:
            rest = rest[os.write(self.input, rest) :]
        self.fed += count

    def wait_for_sink(self) -> None:
        """Wait until the sensor holds few documents."""
        while (counts := self.counters(self.sensor)) and counts["given"] - counts["written"] > MAX_PENDING:
            time.sleep(0.01)

    def kill(self, target: str, delay_s: float) -> None:
        """End a process with SIGKILL, and start it again unless its keeper does.

        Args:
            target: one of `TARGETS`.
            delay_s: time that a sensor gets for the events before.
        """
        if target == "sensor":
            counts = self.counters(self.sensor)
            assert counts is not None, (self.folder / "stderr.log").read_text()
            assert (counts["failed"], counts["dropped"]) == (0, 0), counts
            self.result.committed += max(0, counts["written"] - counts["notices"])
            self.feed(UNREAD)  # so that it is killed at work
            time.sleep(delay_s)
            self.sensor.kill()
            self.sensor.wait()
            self.moments.append((self.fed, self.result.committed))
            self.sensor = self.start_sensor()
        elif target == "sink":
            while not (workers := self.workers()):  # it was killed just now
                time.sleep(0.01)
            os.kill(workers[0], signal.SIGKILL)
        elif target == "shipper":
            self.shipper.kill()
            self.shipper.wait()
            self.shipper = self.start_shipper()
        else:
            self.receiver.kill()
            self.receiver.start()
        self.result.kills[target] = self.result.kills.get(target, 0) + 1

    def workers(self) -> list[int]:
        """Return the process that writes the spool; none while it is restarted."""
        return [worker for keeper in children(self.sensor.pid) for worker in children(keeper)]

    def finish(self) -> None:
        """End the sensor, and wait until everything is delivered."""
        os.close(self.input)
        os.close(self.events)
        assert self.sensor.wait(LIMIT_S) == 0, (self.folder / "stderr.log").read_text()
        self.wait_until_delivered()

    def replay(self) -> None:
        """Write the documents of the whole log into the spool, and wait until everything is delivered."""
        replayed = subprocess.run(
            [PROGRAM, "replay", *self.options, self.log], stderr=self.errors, timeout=LIMIT_S, check=False
        )
        assert replayed.returncode == 0, (self.folder / "stderr.log").read_text()
        self.wait_until_delivered()

    def wait_until_delivered(self) -> None:
        """Wait until the spool is empty."""
        store = SpoolStore(self.spool)
        deadline_s = time.monotonic() + LIMIT_S
        while (state := store.state()).documents:
            assert time.monotonic() < deadline_s, state
            time.sleep(0.1)
        store.close()
        assert state.refused == 0
        self.result.known = state.counters.get("duplicates_sent", 0)

    def close(self) -> None:
        """End the programs."""
        for program in (self.sensor, self.shipper):
            program.terminate()
            program.wait()
        self.errors.close()


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def deliver(run: Run, kills: int, seed: int) -> None:
    """Feed the events, and kill at random moments."""
    chance = random.Random(seed)  # noqa: S311 - moments are no secrets
    documents = run.result.documents
    moments = sorted((chance.randrange(documents) for _ in range(kills)), reverse=True)
    targets = [TARGETS[n % len(TARGETS)] for n in range(kills)]
    chance.shuffle(targets)
    started_s = time.monotonic()
    while run.fed < documents:
        run.wait_for_sink()
        run.feed(BATCH)
        while moments and moments[-1] < run.fed:
            moments.pop()
            time.sleep(chance.random() / 5)
            run.kill(targets.pop(), chance.random() * MOST_DELAY_S)
    run.finish()
    run.result.seconds = time.monotonic() - started_s


def expected_ids(documents: int) -> list[str]:
    """Return the id of each event's document: the same input gives the same id in any run."""
    with tempfile.TemporaryDirectory() as folder:
        options = sensor_options(Path(folder))
        log = Path(folder) / "audit.log"
        log.write_bytes(b"".join(event(n) for n in range(documents)))
        subprocess.run([PROGRAM, "replay", "-q", *options, log], timeout=LIMIT_S, check=True)
        store = SpoolStore(Path(folder) / "spool")
        ids = {
            json.loads(document.line)["process"]["pid"] - 1000: document.id
            for document in store.oldest(documents, 1 << 40)
        }
        store.close()
    return [ids[n] for n in range(documents)]


def count_lost(run: Run, expected: list[str], ids: list[str]) -> None:
    """Count what a receiver lacks before the replay, by cause."""
    stored = frozenset(ids)
    there = [name in stored for name in expected]
    result = run.result
    result.lost_with_sensor = there.count(False)
    result.gaps = sum(not now and before for before, now in itertools.pairwise([True, *there]))
    for fed, committed in run.moments:
        # Events reach the spool in order, so those fed until then include all that were committed.
        result.lost = max(result.lost, committed - sum(there[:fed]))


RECEIVERS: dict[
    str,
    tuple[
        Callable[[Path], AbstractContextManager[RealReceiver]],
        Callable[[RealReceiver], None],
        Callable[[RealReceiver], list[str]],
    ],
] = {
    "nats": (real_receivers.nats_server, real_receivers.add_stream, real_receivers.stored_ids),
    "otlp": (real_receivers.collector, lambda _: None, real_receivers.collected_ids),
    "opensearch": (real_receivers.open_search, real_receivers.add_template, real_receivers.indexed_ids),
}


def measure(name: str, folder: Path, documents: int, kills: int, seed: int) -> Result:
    """Run against one receiver."""
    started, prepare, ids_of = RECEIVERS[name]
    result = Result(documents)
    with started(folder) as receiver:
        prepare(receiver)
        expected = expected_ids(documents)
        run = Run(folder, receiver, result)
        try:
            deliver(run, kills, seed)
            count_lost(run, expected, ids_of(receiver))
            run.replay()
        finally:
            run.close()
        stored = Counter(ids_of(receiver))
    result.lost_after_replay = sum(name not in stored for name in expected)
    result.stored_twice = sum(times - 1 for times in stored.values())
    return result


def main() -> int:
    """Run, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--receiver", choices=RECEIVERS, action="append")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = {}
    for name in arguments.receiver or RECEIVERS:
        with tempfile.TemporaryDirectory() as folder:
            result = measure(name, Path(folder), arguments.documents, arguments.kills, arguments.seed)
        rows[name] = vars(result)
        print(name, json.dumps(rows[name]))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 1 if any(row["lost"] or row["lost_after_replay"] for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
