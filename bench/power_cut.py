"""Power cuts: whether a spool has everything that it has acknowledged.

    sudo python bench/power_cut.py [--cuts N] [--filesystem NAME] [--seed N] [--json FILE]

The sensor's side (`AcknowledgedSinkProcess`) commits documents to a spool on a separate file system, and a
shipper removes them again. The same documents go to a file, whose sink never waits for the disk. Below the
file system is a recorder: qemu-storage-daemon exports a disk, and logs each write and each flush as
dm-log-writes does. At random moments, just after the spool has acknowledged documents, the bench notes their
number and the length of the log. Each of these moments is a power cut.

Afterwards two disks are made of each cut. Both have all writes before the last completed flush. One has none
of the later writes, the other each of their sectors of 512 bytes with a chance of one half, in random order.
Of every tenth cut a third disk is made, as a control: one that has not even made the last flush durable.
Each disk is mounted, file system and SQLite recover, and the documents are compared. It needs root, a loop
device, FUSE, qemu-storage-daemon and mkfs; the kernel needs no device mapper.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from auditsense.ship import Outcome
from auditsense.ship.shipper import Shipper
from auditsense.sinks.acknowledged import AcknowledgedSinkProcess
from auditsense.sinks.file import FileSink
from auditsense.sinks.spool import SpoolSink
from auditsense.sinks.spool_store import SpoolError, SpoolStore
from auditsense.sinks.subprocess_sink import SinkProcess

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditsense.ship import ShippedDocument

DISK_BYTES = {"ext4": 64 << 20, "xfs": 320 << 20, "btrfs": 128 << 20}
PROGRAMS = ("qemu-storage-daemon", "losetup", "mount", "umount")
SECTOR = 512
BATCH = 20
ENTRY = struct.Struct("<QQQQ")  # sector, number of sectors, flags, length of data
SUPER = struct.Struct("<QQQI")  # magic, version, number of entries, bytes per sector
MAGIC = 0x6A736677736872
FLUSH, DISCARD = 1, 4


@dataclass
class Result:
    """Figures of one run.

    Attributes:
        filesystem: on the disk.
        cuts: moments at which power was cut.
        disks: that were made of them, mounted and read.
        writes: to the disk, in all.
        flushes: of the disk, in all.
        committed: documents that were acknowledged at the last cut.
        removed: of these, delivered and removed at the last cut.
        lost: acknowledged documents that are missing, neither in the spool nor delivered; over all disks.
        damaged: disks on which the spool was damaged.
        more: documents that were on a disk before the sensor knew; the most.
        lost_by_file: the most lines on one disk that the file lacks although its sink has written them.
        lost_by_liar: acknowledged documents that are missing on the disks of the control. It has to be
            above 0, else this bench notices no loss.
    """

    filesystem: str
    cuts: int = 0
    disks: int = 0
    writes: int = 0
    flushes: int = 0
    committed: int = 0
    removed: int = 0
    lost: int = 0
    damaged: int = 0
    more: int = 0
    lost_by_file: int = 0
    lost_by_liar: int = 0


class Cut(NamedTuple):
    """A moment.

    Attributes:
        spooled: documents that the spool has acknowledged, from the first one on.
        filed: lines that the file's sink has written.
        delivered: ids of documents that the receiver has.
        log_bytes: length of the recorder's log.
    """

    spooled: int
    filed: int
    delivered: frozenset[str]
    log_bytes: int


class Write(NamedTuple):
    """An entry of the recorder's log: where it begins, and what was written to the disk; b"" for a flush."""

    at: int
    offset: int
    data: bytes


class Receiver:
    """A destination in this process that takes everything, slowly."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ids: set[str] = set()

    def send(self, documents: Sequence[ShippedDocument]) -> Outcome:
        """Take documents; none while `lock` is held."""
        time.sleep(0.05)
        with self.lock:
            self.ids |= {document.id for document in documents}
        return Outcome()

    def close(self) -> None:
        """Do nothing."""


def document(n: int) -> bytes:
    """Return a document of 1.3 KB with its id, as one line."""
    fields = {"event": {"id": f"id-{n}"}, "message": f"document {n}", "auditsense": {"note": "x" * 1200}}
    return json.dumps(fields).encode() + b"\n"


class Sensor:
    """The sensor's side of a spool and of a file."""

    def __init__(self, disk: Path) -> None:
        self.spool = AcknowledgedSinkProcess(SpoolSink(disk / "spool"), "spool")
        self.file = SinkProcess(FileSink(disk / "alerts.jsonl"), "file")
        self.sent = self.before = 0
        for sink in (self.spool, self.file):
            sink.start()

    def send(self, count: int) -> None:
        """Send the next documents to both."""
        lines = b"".join(document(n) for n in range(self.sent, self.sent + count))
        self.sent += count
        self.before = self.spool.counts.written
        for sink in (self.spool, self.file):
            sink.send(lines, count)

    def wait_for_commit(self) -> None:
        """Return as soon as the spool has acknowledged documents since the last `send`."""
        while self.spool.counts.written == self.before:
            assert not self.spool.stopped, self.spool.problem
            self.file.poll()
            self.spool.poll()
            time.sleep(0.0005)

    def close(self) -> None:
        """Commit what is left."""
        for sink in (self.spool, self.file):
            sink.close()
            assert (sink.counts.failed, sink.counts.dropped) == (0, 0), sink.counts


def command(*words: str | Path) -> str:
    """Run a program, and return what it prints."""
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=120).stdout.strip()


@contextmanager
def recorded_disk(folder: Path, size: int) -> Iterator[Path]:
    """Yield a loop device whose writes and flushes are logged in `folder`/log."""
    disk, log, export = folder / "disk", folder / "log", folder / "export"
    disk.touch()
    os.truncate(disk, size)
    log.touch()
    export.touch()
    recorder = subprocess.Popen(
        [
            *("qemu-storage-daemon", "--blockdev", f"driver=file,node-name=disk,filename={disk}"),
            *("--blockdev", f"driver=file,node-name=log,filename={log}"),
            *("--blockdev", "driver=blklogwrites,node-name=both,file=disk,log=log,log-sector-size=512"),
            *("--export", f"type=fuse,id=e,node-name=both,mountpoint={export},writable=on,allow-other=off"),
        ]
    )
    try:
        while export.stat().st_size != size:
            assert recorder.poll() is None, "qemu-storage-daemon cannot export a disk"
            time.sleep(0.05)
        device = Path(command("losetup", "--find", "--show", export))
        try:
            yield device
        finally:
            command("losetup", "--detach", device)
    finally:
        recorder.terminate()
        recorder.wait()


@contextmanager
def mounted(what: Path, where: Path, *options: str) -> Iterator[Path]:
    """Mount a disk, and unmount it at the end."""
    where.mkdir(exist_ok=True)
    command("mount", *options, what, where)
    try:
        yield where
    finally:
        command("umount", where)


def record(folder: Path, disk: Path, cuts: int, chance: random.Random) -> list[Cut]:
    """Let a spool and a shipper work, and return random moments."""
    receiver = Receiver()
    moments: list[Cut] = []
    sensor = Sensor(disk)  # forks, so before there are threads
    sensor.send(BATCH)
    sensor.wait_for_commit()
    shipper = Shipper(disk / "spool", receiver, print, batch=20, rate=0)
    thread = threading.Thread(target=shipper.run)
    thread.start()
    try:
        while len(moments) < cuts:
            for _ in range(chance.randrange(1, 5)):
                sensor.send(chance.randrange(1, 2 * BATCH))
                sensor.wait_for_commit()
            with receiver.lock:  # what is not delivered now is not removed before the cut either
                size = (folder / "log").stat().st_size
                written = (sensor.spool.counts.written, sensor.file.counts.written)
                moments.append(Cut(*written, frozenset(receiver.ids), size))
    finally:
        shipper.stop()
        thread.join()
        sensor.close()
    return moments


def read_log(path: Path) -> Iterator[Write]:
    """Yield the entries of the recorder's log."""
    with path.open("rb") as log:
        magic, _, entries, unit = SUPER.unpack(log.read(SUPER.size))
        assert (magic, unit) == (MAGIC, SECTOR)
        at = unit
        for _ in range(entries):
            log.seek(at)
            sector, count, flags, _ = ENTRY.unpack(log.read(ENTRY.size))
            log.seek(at + unit)
            if flags & DISCARD:
                size = 0
                yield Write(at, sector * unit, bytes(count * unit))
            else:
                size = count * unit
                if size:
                    yield Write(at, sector * unit, log.read(size))
                if flags & FLUSH:
                    yield Write(at, 0, b"")
            at += unit + size


def apply(disk: int, writes: Sequence[Write], chance: random.Random | None = None) -> None:
    """Write to a disk: everything in order or, with *chance*, about half of the sectors in any order."""
    if chance is None:
        for write in writes:
            os.pwrite(disk, write.data, write.offset)
        return
    sectors = [
        (write.offset + at, write.data[at : at + SECTOR])
        for write in writes
        for at in range(0, len(write.data), SECTOR)
        if chance.random() < 0.5
    ]
    chance.shuffle(sectors)
    for offset, data in sectors:
        os.pwrite(disk, data, offset)


def spooled(disk: Path, most: int) -> set[str] | None:
    """Return the ids in the spool of a disk; None if it is damaged."""
    try:
        store = SpoolStore(disk / "spool", size=1 << 30, check=True)
    except SpoolError as error:
        print(error, file=sys.stderr)
        return None
    ids = {document.id for document in store.oldest(most, 1 << 40)}
    store.close()
    return ids


def whole_lines(file: Path) -> int:
    """Return the number of complete documents in a file."""
    lines = file.read_bytes().split(b"\n")[:-1] if file.exists() else []
    return sum(line.startswith(b"{") and line.endswith(b"}") for line in lines)


def check(after: Path, cut: Cut, expected: list[str], result: Result) -> None:
    """Mount a disk after a cut, and compare its spool and its file with what was acknowledged."""
    result.disks += 1
    with mounted(after, after.with_suffix(".mounted"), "-o", "loop") as disk:
        ids = spooled(disk, len(expected))
        if ids is None:
            result.damaged += 1
        lost = missing(cut, ids, expected)
        result.lost += lost
        if lost:
            print(f"disk {result.disks}: {lost} of {cut.spooled} documents are missing", file=sys.stderr)
        result.more = max(result.more, sum(name in (ids or ()) for name in expected[cut.spooled :]))
        result.lost_by_file = max(result.lost_by_file, cut.filed - whole_lines(disk / "alerts.jsonl"))


def missing(cut: Cut, ids: set[str] | None, expected: list[str]) -> int:
    """Return how many acknowledged documents are neither in a spool nor delivered."""
    return sum(name not in cut.delivered and name not in (ids or ()) for name in expected[: cut.spooled])


def check_liar(after: Path, cut: Cut, expected: list[str], result: Result) -> None:
    """Check a disk that has acknowledged a flush and has not done it."""
    with mounted(after, after.with_suffix(".mounted"), "-o", "loop") as disk:
        result.lost_by_liar += missing(cut, spooled(disk, len(expected)), expected)


def cut_power(folder: Path, cuts: list[Cut], expected: list[str], result: Result, seed: int) -> None:
    """Make disks of the recorded moments, and check each."""
    chance = random.Random(seed)  # noqa: S311 - no secret
    durable = os.open(folder / "durable", os.O_RDWR | os.O_CREAT, 0o600)
    os.truncate(durable, DISK_BYTES[result.filesystem])
    flushed: list[Write] = []  # by the last flush
    waiting: list[Write] = []  # since then
    rest = sorted(cuts, key=lambda cut: cut.log_bytes, reverse=True)
    end = Write((folder / "log").stat().st_size, 0, b"")
    numbers = itertools.count()

    @contextmanager
    def disk(*tails: tuple[list[Write], random.Random | None]) -> Iterator[Path]:
        # Another file each time: the kernel may still hold pages of the one before.
        after = folder / f"disk-{next(numbers)}"
        command("cp", folder / "durable", after)
        descriptor = os.open(after, os.O_RDWR)
        for tail in tails:
            apply(descriptor, *tail)
        os.close(descriptor)
        yield after
        after.unlink()

    for write in (*read_log(folder / "log"), end):
        while rest and rest[-1].log_bytes <= write.at:
            cut = rest.pop()
            with disk((flushed, None)) as after:
                check(after, cut, expected, result)
            with disk((flushed, None), (waiting, chance)) as after:
                check(after, cut, expected, result)
            if len(rest) % 10 == 0:
                with disk() as after:
                    check_liar(after, cut, expected, result)
        if write.data:
            result.writes += 1
            waiting.append(write)
        elif write is not end:
            result.flushes += 1
            apply(durable, flushed)
            flushed, waiting = waiting, []
    os.close(durable)


def missing_programs(filesystem: str) -> list[str]:
    """Return what this host lacks."""
    lacks = [name for name in (*PROGRAMS, f"mkfs.{filesystem}") if shutil.which(name) is None]
    if os.geteuid() != 0:
        lacks.append("root")
    return lacks + [str(path) for path in ("/dev/fuse", "/dev/loop-control") if not Path(path).exists()]


def measure(filesystem: str, cuts: int, seed: int) -> Result:
    """Record a run on a file system, cut power, and count.

    Args:
        filesystem: a key of `DISK_BYTES`.
        cuts: number of moments.
        seed: of the random moments and sectors.
    """
    result = Result(filesystem)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with ExitStack() as recording:
            device = recording.enter_context(recorded_disk(folder, DISK_BYTES[filesystem]))
            command(f"mkfs.{filesystem}", "-q", device)
            disk = recording.enter_context(mounted(device, folder / "mounted"))
            moments = record(folder, disk, cuts, random.Random(seed))  # noqa: S311 - no secret
        result.cuts = len(moments)
        result.committed = moments[-1].spooled
        result.removed = len(moments[-1].delivered)
        # Documents that were sent and not acknowledged are at most those of the last calls.
        expected = [f"id-{n}" for n in range(result.committed + 8 * BATCH)]
        cut_power(folder, moments, expected, result, seed)
    return result


def main() -> int:
    """Run, and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cuts", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--filesystem", choices=DISK_BYTES, action="append")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    for filesystem in arguments.filesystem or ["ext4"]:
        if lacks := missing_programs(filesystem):
            print(f"missing on this host: {', '.join(lacks)}", file=sys.stderr)
            return 2
        rows.append(vars(measure(filesystem, arguments.cuts, arguments.seed)))
        print(json.dumps(rows[-1]))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 1 if any(row["lost"] or row["damaged"] or not row["lost_by_liar"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
