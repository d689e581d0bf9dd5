"""Missing serials against a model that knows what was left out: wraps, late records, other boots."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditsense import Detector
from auditsense.core.ring import Limits, Ring, Stats, pack
from auditsense.core.rule_table import RuleTable
from auditsense.testing import datagram

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.faults import Recorder

START = 1_795_493_114_000
MINUTE_MS = 60_000
SMALL = Limits(datagram_slots=8, key_slots=16, hit_bytes=1 << 19)


def record(serial: int, ms: int) -> bytes:
    """Return a record that needs no other."""
    stamp = f"audit({ms // 1000}.{ms % 1000:03}:{serial % 2**32})"
    return datagram(f"type=USER_LOGIN msg={stamp}: pid=1")


@dataclass
class Boot:
    """Received events of one boot, in order: serial and stamp. Late ones have serials far behind."""

    came: list[tuple[int, int]]
    late: dict[int, int]
    """After how many records which serial came late, stamped a minute before the boot's first."""

    @property
    def missing(self) -> int:
        """The serials between the first and the last that did not come: not counting late ones."""
        serials = {serial for serial, _ in self.came}
        return max(serials) - min(serials) + 1 - len(serials)

    def records(self) -> Iterable[bytes]:
        for number, (serial, ms) in enumerate(self.came):
            yield record(serial, ms)
            if number in self.late:
                yield record(self.late[number], self.came[0][1] - MINUTE_MS)


@st.composite
def boots(draw: st.DrawFn, first: int, start_ms: int) -> Boot:
    """Return a boot whose serials begin at *first*, the first four without a gap."""
    gaps = draw(st.lists(st.sampled_from([1, 1, 1, 2, 70, 5000, 65_535, 65_536, 200_000]), max_size=25))
    serials = [first, first + 1, first + 2, first + 3]
    for gap in [*gaps, 100, 100, 100]:
        serials.append(serials[-1] + gap)
    swaps = draw(st.sets(st.integers(4, len(serials) - 2), max_size=3))
    for at in swaps:  # those that follow each other closely may change places
        if serials[at + 1] - serials[at] < 100:
            serials[at], serials[at + 1] = serials[at + 1], serials[at]
    came = [(serial, start_ms + 10 * n) for n, serial in enumerate(serials)]
    late = draw(st.dictionaries(st.integers(4, len(serials)), st.integers(1, 300_000), max_size=5))
    # Behind all that can still be open.
    newest = {n: max(serials[: n + 1]) for n in range(len(serials))}
    late = {n: newest[n] - 65_536 - back for n, back in late.items() if n in newest}
    return Boot(came, {n: serial for n, serial in late.items() if serial >= first})


def counted(streams: Iterable[bytes]) -> Stats:
    with Ring(RuleTable(), SMALL, seed=1) as ring:
        packed = pack(streams)
        assert ring.feed(packed) == len(packed)
        ring.finish()
        return ring.stats()


@given(data=st.data(), first=st.sampled_from([1, 7000, 2**31 - 9, 3 * 2**30, 2**32 - 40_000, 2**32 - 4]))
def test_missing_serials_are_those_left_out(data: st.DataObject, first: int) -> None:
    run = [data.draw(boots(first, START))]
    starts = [START + number * 60 * MINUTE_MS for number in range(1, data.draw(st.integers(1, 3)))]
    run += [data.draw(boots(1, start_ms)) for start_ms in starts]
    # Too few serials to tell from the next boot's, or a gap over the wrap as far as anybody can tell.
    if not all(70_000 < before.came[-1][0] % 2**32 < 2**32 - 2**20 for before in run[:-1]):
        run = run[:1]
    stats = counted(part for boot in run for part in boot.records())
    assert stats.serial_restarts == len(run) - 1
    assert stats.serials_missing == sum(boot.missing for boot in run)


def test_late_record_is_not_a_loss(fault: Recorder) -> None:
    with Detector() as detector:
        detector.feed([record(serial, START) for serial in range(1, 300_001) if serial != 1000])
        assert detector.stats().serials_missing == 1
        detector.feed([record(1000, START - MINUTE_MS), record(150_000, START - MINUTE_MS)])
        detector.feed([record(serial, START + 1) for serial in range(300_001, 300_101)])
        detector.finish()
        assert (detector.stats().serials_missing, detector.stats().serial_restarts) == (1, 0)
    fault(
        "a record comes 299,000 serials late",
        how="serial 1,000 after serial 300,000, stamped a minute before, fed",
        did="took it for a late one; serials after it are counted as before",
        lost="nothing",
        reported="nothing: `serials_missing` stays what it was",
        host="not touched: no kernel is involved",
    )


@pytest.mark.parametrize("behind", [100, 60_000, 65_535, 65_536, 65_537, 299_999])
def test_late_records_at_any_distance_change_nothing(behind: int) -> None:
    whole = [record(serial, START) for serial in range(1, 300_001)]
    late = [record(300_000 - behind, START - MINUTE_MS)] * 5
    after = [record(serial, START + 9) for serial in range(300_001, 300_004)]
    stats = counted([*whole, *late, *after])
    assert (stats.serials_missing, stats.serial_restarts) == (0, 0)


def test_reboot_without_a_clock_is_detected() -> None:
    first = [record(serial, START) for serial in range(1_000_000, 1_000_100)]
    second = [record(serial, 1000) for serial in range(1, 1001) if serial != 700]
    stats = counted([*first, *second])
    assert (stats.serials_missing, stats.serial_restarts) == (1, 1)
