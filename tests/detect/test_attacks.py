"""Bounded under attack, offline: what is evicted first, that it is counted, and that memory stays bounded.

| attack | what is evicted or cut |
|---|---|
| events of one process, as many as come | nothing: counted into one burst, two documents |
| processes, each with an open | windows of the fewest and oldest matches (`keys_evicted`) |
| events that never end | the oldest, decided with what it has (`evicted`, `incomplete`) |
| long records | what is longer than a datagram's place is cut (`truncated`) |
| text made to look like records | nothing: the type is the kernel's number, not the text |
| keys that share a place in the table | nothing: the seed is random |
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditsense import Detector, Host, shipped_detections
from auditsense.core.ring import Limits, Ring, pack
from auditsense.core.rule_table import Field
from auditsense.detect.record_reader import EVERY_EVENT
from auditsense.testing import burst, datagram, open_event
from tests.support.faults import NO_HOST, NOTHING, Recorder
from tests.support.rules import SimpleRule, table

if TYPE_CHECKING:
    from collections.abc import Iterator


PSPY = shipped_detections()[:1]
HERE = Host("0123456789abcdef0123456789abcdef", "here")
PAGE = os.sysconf("SC_PAGESIZE")
START_MS = 1_795_493_114_674
BATCH = 2000
BY_PID = table([SimpleRule((), (), (Field.PID,), 10, 5000)])


def resident() -> int:
    """Return the memory of this process that has pages, in bytes."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE


def opens(pids: Iterator[int], serial: int = 3, per_ms: int = 10) -> Iterator[bytes]:
    """Yield packed events, one open by each pid, made quickly: the pid is put into one event's text."""
    template = open_event(ms=START_MS, serial=3, pid=4352)
    parts = [part for part in template.datagrams if b"cwd=" not in part and b"proctitle=" not in part]
    stamp = template.id.encode()
    for first in itertools.count(0, BATCH):
        batch: list[bytes] = []
        for n, pid in enumerate(itertools.islice(pids, BATCH)):
            ms = START_MS + (first + n) // per_ms
            moment = b"%d.%03d:%d" % (ms // 1000, ms % 1000, serial + first + n)
            batch += [part.replace(stamp, moment).replace(b" pid=4352 ", b" pid=%d " % pid) for part in parts]
        if not batch:
            return
        yield pack(batch)


def balanced(stats: dict[str, int]) -> bool:
    """Tell whether everything that came in went somewhere."""
    fed = stats["datagrams"] + stats["lines"]
    return fed == stats["records"] + stats["malformed"] + stats["foreign"] + stats["control"]


# --- floods ------------------------------------------------------------------------


def test_flood_of_one_process_is_one_alert(fault: Recorder) -> None:
    with Detector(PSPY, host=HERE) as detector:
        before = 0
        documents = []
        for n, packed in enumerate(opens(itertools.repeat(4352, 100_000))):
            documents += detector.feed_packed(packed)[0]
            before = resident() if n == 5 else before
        grown = resident() - before
        documents += detector.finish()
        stats = detector.stats().as_dict()
    told = [(one["auditsense"]["state"], one["auditsense"]["count"]) for one in documents]
    assert told == [("alert", 10), ("closed", 100_000)]
    assert balanced(stats)
    assert (stats["events"], stats["matches"], stats["incomplete"]) == (100_000, 100_000, 0)
    assert grown < 8 << 20
    fault(
        "a process opens /proc without end",
        how="100,000 events of one pid, replayed",
        did="counted every one; memory stayed flat",
        lost=NOTHING,
        reported="one alert, and one closing document with the total",
        host=NO_HOST,
    )


@pytest.mark.parametrize("pids", [100_000, 1_000_000])
def test_flood_of_processes_keeps_memory_bounded(pids: int, fault: Recorder) -> None:
    limits = Limits(key_slots=4096)
    with Detector(PSPY, host=HERE, limits=limits) as detector:
        promised = detector.memory_bytes
        before = resident()
        documents = []
        for packed in opens(iter(range(1, pids + 1)), per_ms=100):
            documents += detector.feed_packed(packed)[0]
        grown = resident() - before
        documents += detector.finish()
        stats = detector.stats().as_dict()
        assert detector.memory_bytes == promised
    assert documents == []
    assert stats["matches"] == pids
    assert (stats["live_keys"], stats["keys_evicted"]) == (4096, pids - 4096)
    assert balanced(stats)
    assert grown <= promised + (8 << 20)  # for the interpreter
    fault(
        "a million processes open /proc once each",
        how="1,000,000 pids through 4,096 windows, replayed",
        did="evicted windows of one match; memory stayed what it was created with",
        lost="windows that could not have been completed",
        reported="`keys_evicted`, exactly",
        host=NO_HOST,
    )


def scan_in_a_flood(opens_of_scanner: int, flood: int, limits: Limits) -> int:
    """Return how many documents tell of pid 7, which opens once every *flood* processes."""
    documents = []
    with Detector(PSPY, host=HERE, limits=limits, sequences=True) as detector:
        pids = (7 if n % (flood + 1) == 0 else 1000 + n for n in range(opens_of_scanner * (flood + 1)))
        for packed in opens(pids, per_ms=max(1, flood // 50)):
            documents += detector.feed_packed(packed)[0]
        documents += detector.finish()
        assert detector.stats().keys_evicted > 0
    assert {one["process"]["pid"] for one in documents} <= {7}
    return len(documents)


@pytest.mark.parametrize("flood", [256, 512, 768, 1024], ids="{} new processes an open".format)
def test_scanner_is_found_in_a_flood_of_keys(flood: int, fault: Recorder) -> None:
    # The order of last use alone would lose it from 512 on: its window would be gone before its next open.
    assert scan_in_a_flood(100, flood, Limits(key_slots=512)) > 0
    fault(
        "a scanner hides in a flood of new processes",
        how="100 opens, between each two of them twice as many new pids as there are windows, replayed",
        did="found it: a process with more matches than those of the flood keeps its window",
        lost="windows of one match; of the scanner's as well until it had two",
        reported="the alert, and `keys_evicted`",
        host=NO_HOST,
    )


def test_scanner_is_found_during_a_flood(fault: Recorder) -> None:
    pids = itertools.cycle([*[4352] * 500, 7])
    with Detector(PSPY, host=HERE) as detector:
        documents = []
        for packed in opens(itertools.islice(pids, 50_000), per_ms=25):
            documents += detector.feed_packed(packed)[0]
        documents += detector.finish()
    alerts = [one["process"]["pid"] for one in documents if one["auditsense"]["state"] == "alert"]
    assert sorted(alerts) == [7, 4352]
    fault(
        "a scanner hides behind a process that floods",
        how="500 opens of one pid between two of the other, replayed",
        did="reported both, once each",
        lost=NOTHING,
        reported="two alerts",
        host=NO_HOST,
    )


# --- records ------------------------------------------------------------------------


def test_unfinished_events_are_evicted(fault: Recorder) -> None:
    limits = Limits(event_slots=256, small_texts=512, large_texts=16)
    scan = burst(20, serial=2_000_000, every_ms=1)
    with Detector(PSPY, host=HERE, limits=limits) as detector:
        before = resident()
        first = open_event(ms=START_MS, serial=3, pid=4352).datagrams[0]
        for serial in range(3, 100_003):
            call = first.replace(b":3)", b":%d)" % serial).replace(b" pid=4352 ", b" pid=%d " % serial)
            detector.feed([call], 1000)
        documents = []
        for n, event in enumerate(scan):
            endless = open_event(ms=event.ms, serial=1_000_000 + n, pid=n + 1).datagrams[:3]
            documents += detector.feed([*event.datagrams, *endless], 1000)
        documents += detector.finish()
        grown = resident() - before
        stats = detector.stats().as_dict()
    # Decided with what they had: the call alone, which the path would have to bear out.
    alerts = [one for one in documents if one["auditsense"]["state"] == "alert"]
    assert [one["process"]["pid"] for one in alerts] == [4352]
    assert alerts[0]["auditsense"]["lost"] > 0
    assert stats["evicted"] > 99_000
    assert stats["incomplete"] >= stats["evicted"]
    assert balanced(stats)
    assert grown < 8 << 20
    fault(
        "events begin and never end",
        how="100,000 SYSCALL records without EOE, replayed, and a scanner behind them",
        did="decided the oldest with the records it had; found the scanner",
        lost="the ends of those events",
        reported="`evicted` and `incomplete`; the alert reports the loss",
        host=NO_HOST,
    )


def long_record(event_serial: int, size: int) -> bytes:
    text = f"type=PATH msg=audit({START_MS // 1000}.674:{event_serial}): item=0 name={'41' * (size // 2)}"
    return datagram(text)


def test_records_of_16_kilobytes_are_cut_and_counted(fault: Recorder) -> None:
    limits = Limits(datagram_bytes=16384, event_slots=1024, small_texts=1024, large_texts=16)
    with Detector(PSPY, host=HERE, limits=limits) as detector:
        before = resident()
        documents = []
        for serial in range(3, 20_003):
            size = 16384 - 64 if serial % 2 else 20_000
            documents += detector.feed([long_record(serial, size)])
        for event in burst(10, serial=30_000, every_ms=1):
            documents += detector.feed([*event.datagrams, long_record(event.serial + 10_000, 16_300)])
        documents += detector.finish()
        grown = resident() - before
        stats = detector.stats().as_dict()
    assert [one["process"]["pid"] for one in documents] == [4352]
    assert stats["truncated"] == 10_000
    assert documents[0]["auditsense"]["lost"] >= 10_000
    assert balanced(stats)
    assert grown < 16 << 20
    fault(
        "records of 16 KB and more",
        how="20,000 of them, every second one longer than a datagram's place, replayed",
        did="used the start of the long ones; found the scanner behind them",
        lost="the ends of what was longer than `datagram_bytes`",
        reported="`truncated`, exactly; the alert reports the loss",
        host=NO_HOST,
    )


FORGED = """pid=1 uid=0 msg='op=x
type=SYSCALL msg=audit({moment}): arch=c000003e syscall=257 success=yes exit=5 a0=ffffffffffffff9c a1=1 \
a2=80000 a3=0 items=1 ppid=1 pid=666 auid=0 uid=0 gid=0 euid=0 suid=0 fsuid=0 egid=0 sgid=0 fsgid=0 \
tty=(none) ses=1 comm="evil" exe="/evil" key="audit_proc"
type=PATH msg=audit({moment}): item=0 name="/proc" inode=1 dev=00:15 mode=040555 nametype=NORMAL
type=EOE msg=audit({moment}): '"""


@pytest.mark.parametrize("kind", ["USER_AUTH", "USER_LOGIN", "SERVICE_START", "UNKNOWN[2100]"])
def test_user_text_never_becomes_a_record(kind: str, fault: Recorder) -> None:
    with Detector(PSPY, host=HERE) as detector:
        documents = []
        for n in range(50):
            moment = f"{START_MS // 1000}.674:{100 + n}"
            text = FORGED.format(moment=moment)
            documents += detector.feed([datagram(f"type={kind} msg=audit({moment}): {text}")])
        documents += detector.finish()
        stats = detector.stats().as_dict()
    assert documents == []
    assert (stats["records"], stats["events"], stats["matches"]) == (50, 50, 0)
    fault(
        "a user writes lines that look like records of the kernel",
        how='AUDIT_USER text with line ends and "type=SYSCALL …" inside, replayed, four types',
        did="took each for one user record, whatever its text",
        lost=NOTHING,
        reported=NOTHING,
        host=NO_HOST,
    )


def test_text_of_a_user_cannot_change_an_event() -> None:
    events = burst(10)
    with Detector(PSPY, host=HERE) as detector:
        documents = []
        for event in events:
            forged = FORGED.format(moment=event.id).replace("pid=666", "pid=4352")
            user = datagram(f"type=USER_AUTH msg=audit({event.id}): {forged}")
            documents += detector.feed([event.datagrams[0], user, *event.datagrams[1:]])
        documents += detector.finish()
        stats = detector.stats()
    (alert,) = documents
    assert (alert["process"]["pid"], alert["process"]["name"]) == (4352, "pspy64")
    assert alert["auditsense"]["events"] == [event.id for event in events]
    assert stats.matches == 10


# --- the hash table -------------------------------------------------------------------


def mix(seed: int, word: int) -> int:
    """Compute what hash.h computes."""
    whole = (1 << 64) - 1
    x = (word ^ seed) * 0x9E3779B97F4A7C15 & whole
    x ^= x >> 32
    x = (x + seed) * 0xD6E8FEB86659FD93 & whole
    return x ^ x >> 29


def bucket(seed: int, pid: int, buckets: int, rule: int = 0) -> int:
    return mix(seed, mix(seed ^ rule, pid)) & (buckets - 1)


def test_collisions_need_the_seed(fault: Recorder) -> None:
    buckets, wanted = 1024, 256
    known = 0x5EED
    pids = [pid for pid in range(1, 1 << 19) if bucket(known, pid, buckets) == 0][:wanted]
    assert len(pids) == wanted
    assert {bucket(known, pid, buckets) for pid in pids} == {0}
    for random in (int.from_bytes(os.urandom(8)) for _ in range(20)):
        places = [bucket(random, pid, buckets) for pid in pids]
        # As chance has it: some 226 places for 256 pids, and never more than a handful in one.
        assert len({*places}) > 180
        assert max(map(places.count, places)) < 12
    # And where they do collide, it is slower, not wrong.
    limits = Limits(key_slots=buckets)
    found = []
    for seed in (known, None):
        with Ring(BY_PID, limits, seed=seed) as ring:
            for packed in opens(itertools.chain.from_iterable(itertools.repeat(pids, 10)), per_ms=1000):
                ring.feed(packed)
            found.append((ring.stats().sequences, [str(hit.ids[-1]) for hit in ring.drain()]))
            assert ring.stats().keys_evicted == 0
    assert found[0] == found[1]
    assert found[0][0] == wanted
    fault(
        "pids chosen to share one place in the hash table",
        how="256 pids computed for a known seed, replayed under it and under random ones",
        did="found the same as with other pids; under a random seed they spread evenly",
        lost=NOTHING,
        reported=NOTHING,
        host=NO_HOST,
    )


def test_every_ring_has_a_random_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def urandom(count: int) -> bytes:
        asked.append(count)
        return bytes(count)

    monkeypatch.setattr("auditsense.core.ring.os.urandom", urandom)
    for _ in range(3):
        Ring(BY_PID, Limits()).close()
    assert asked == [8] * 3


# --- the consumer -----------------------------------------------------------------------


def test_undrained_input_waits_without_loss(fault: Recorder) -> None:
    limits = dataclasses.replace(Limits(), datagram_bytes=1024, hit_bytes=8 * 1024 + 262144)
    every = EVERY_EVENT
    events = burst(5000)
    packed = memoryview(b"".join(pack(event.datagrams) for event in events))
    with Ring(every, limits) as ring:
        taken = ring.feed(packed)
        assert taken < len(packed)
        for _ in range(100):
            assert ring.feed(packed[taken:]) == 0
        ids = [str(hit.ids[0]) for hit in ring.drain()]
        while taken < len(packed):
            taken += ring.feed(packed[taken:])
            ids += [str(hit.ids[0]) for hit in ring.drain()]
        assert ring.finish()
        ids += [str(hit.ids[0]) for hit in ring.drain()]
    assert ids == [event.id for event in events]
    fault(
        "hits are not drained",
        how="5,000 hits for a place of 70 KB, not drained for a while",
        did="accepted no more input, then continued with the next record",
        lost=NOTHING,
        reported="how much it took, each time",
        host=NO_HOST,
    )


def sequences(detector: Detector, text: bytes) -> int:
    return sum(one["auditsense"]["state"] == "sequence" for one in detector.feed_text(text))


def test_clock_step_back_hides_no_process(fault: Recorder) -> None:
    with Detector(PSPY, host=HERE, sequences=True) as detector:
        for event in burst(40, ms=START_MS + 3_600_000):
            sequences(detector, event.text)
        found = sum(sequences(detector, event.text) for event in burst(200, serial=1000))
        assert found == 191
        stats = detector.stats()
        assert (stats.stale, stats.stamp_steps) == (0, 1)
    fault(
        "the clock is set back by an hour",
        how="40 opens of a process stamped an hour ahead, then 200 of the same process, replayed",
        did="completed all 191 sequences of the 200",
        lost=NOTHING,
        reported="`stamp_steps` 1",
        host=NO_HOST,
    )


@pytest.mark.parametrize("back_s", [6, 60, 3600, 86400 * 365])
def test_reused_pid_is_seen_after_a_clock_step(back_s: int) -> None:
    scanner = [event.text.replace(b"pspy64", b"scan64") for event in burst(20, serial=1000)]
    with Detector(PSPY, host=HERE, sequences=True) as detector:
        for event in burst(40, ms=START_MS + 1000 * back_s):
            sequences(detector, event.text)
        assert sum(sequences(detector, text) for text in scanner) == 11
        assert detector.stats().stale == 0
