"""Delivery under kill -9: what is lost, and what arrives twice.

    python bench/delivery.py [--documents N] [--kills N] [--seed N] [--receiver NAME]... [--json FILE]

A sensor's side (`AcknowledgedSinkProcess`) spools documents, `auditsense ship` delivers them to a real
receiver, and at random moments SIGKILL ends the spool's process, the shipper or the receiver. Afterwards it
counts what the receiver has. It needs the receivers of scripts/install_receivers.sh and no privilege.
"""

from __future__ import annotations

import argparse
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

from auditsense.sinks.acknowledged import AcknowledgedSinkProcess
from auditsense.sinks.spool import SpoolSink
from auditsense.sinks.spool_store import SpoolStore
from tests.support import real_receivers

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from tests.support.real_receivers import RealReceiver

PROGRAM = Path(sys.executable).with_name("auditsense")
BATCH = 20
TARGETS = ("sink", "shipper", "receiver")


@dataclass
class Result:
    """Figures of one run.

    Attributes:
        documents: submitted to the spool.
        kills: by what was killed.
        lost: documents that the receiver does not have.
        stored_twice: documents that the receiver stores more than once.
        known: documents that it got again and recognised.
        seconds: until the spool was empty.
    """

    documents: int
    kills: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    stored_twice: int = 0
    known: int = 0
    seconds: float = 0.0


def document(n: int) -> bytes:
    """Return a document of 3.5 KB with its own id, as one line."""
    fields = {
        "@timestamp": f"2026-11-24T07:13:{n // 1000 % 60:02d}.{n % 1000:03d}Z",
        "message": f"document {n}",
        "event": {"id": f"id-{n}", "dataset": "auditsense.alert", "kind": "alert"},
        "host": {"id": "h", "name": "here"},
        "auditsense": {"severity": "low", "note": "x" * 3200},
    }
    return json.dumps(fields).encode() + b"\n"


class Run:
    """One run: the three processes, and what kills them."""

    def __init__(self, folder: Path, receiver: RealReceiver, result: Result) -> None:
        self.spool = folder / "spool"
        self.receiver = receiver
        self.result = result
        self.sink = AcknowledgedSinkProcess(SpoolSink(self.spool), "spool")
        self.sink.start()
        self.log = (folder / "ship.log").open("ab")
        self.shipper = self.start_shipper()

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
        return subprocess.Popen([PROGRAM, "ship", *options], stderr=self.log)

    def kill(self, target: str) -> None:
        """End a process with SIGKILL, and start it again unless its keeper does."""
        self.result.kills[target] = self.result.kills.get(target, 0) + 1
        if target == "sink":
            children = Path(f"/proc/{self.sink.pid}/task/{self.sink.pid}/children").read_text().split()
            if children:
                os.kill(int(children[0]), signal.SIGKILL)
        elif target == "shipper":
            self.shipper.kill()
            self.shipper.wait()
            self.shipper = self.start_shipper()
        else:
            self.receiver.kill()
            self.receiver.start()

    def finish(self) -> None:
        """Wait until everything is delivered, and end the processes."""
        while self.sink.counts.pending:
            self.sink.poll()
            time.sleep(0.05)
        counts = self.sink.counts
        assert (counts.failed, counts.dropped) == (0, 0), counts
        self.sink.close()
        store = SpoolStore(self.spool)
        while store.state().documents:
            time.sleep(0.1)
        state = store.state()
        store.close()
        assert state.refused == 0
        self.result.known = state.counters.get("duplicates_sent", 0)
        self.shipper.terminate()
        self.shipper.wait()
        self.log.close()


def deliver(folder: Path, receiver: RealReceiver, documents: int, kills: int, seed: int) -> Result:
    """Submit documents, kill at random moments, and return the counts so far."""
    chance = random.Random(seed)  # noqa: S311 - moments are no secrets
    moments = sorted(chance.randrange(documents // BATCH) for _ in range(kills))
    result = Result(documents)
    run = Run(folder, receiver, result)
    started_s = time.monotonic()
    for turn in range(documents // BATCH):
        lines = b"".join(document(n) for n in range(turn * BATCH, (turn + 1) * BATCH))
        while run.sink.counts.pending > 5000:  # the spool's process was killed: the queue is bounded
            run.sink.poll()
            time.sleep(0.01)
        run.sink.send(lines, BATCH)
        while moments and moments[0] == turn:
            moments.pop(0)
            time.sleep(chance.random() / 5)
            run.sink.poll()
            run.kill(chance.choice(TARGETS))
    run.finish()
    result.seconds = time.monotonic() - started_s
    return result


def count(result: Result, ids: list[str]) -> Result:
    """Compare what a receiver has with what was submitted."""
    stored = Counter(ids)
    result.lost = sum(f"id-{n}" not in stored for n in range(result.documents))
    result.stored_twice = sum(times - 1 for times in stored.values())
    return result


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
    with started(folder) as receiver:
        prepare(receiver)
        return count(deliver(folder, receiver, documents, kills, seed), ids_of(receiver))


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
    return 1 if any(row["lost"] for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
