"""The bench of embedding, small: what it counts holds. Times are nobody's promise."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).parents[2]

if TYPE_CHECKING:
    from bench import embedding
else:
    sys.path.insert(0, str(ROOT / "bench"))
    import embedding


def test_many_detectors_at_once_find_what_each_finds_alone() -> None:
    one = embedding.together(12, 300)
    assert one.differ == 0
    assert one.documents >= 12
    assert one.configured_bytes > one.resident_bytes


def test_lives_leave_nothing_behind() -> None:
    several = embedding.all_lives(30)
    assert [life.name.split(",")[0] for life in several] == ["Ring", "Detector", "Sensor"]
    assert {life.cycles for life in several} == {30}
    assert {(life.descriptors, life.unlike) for life in several} == {(0, 0)}


def test_the_table_says_all_of_it_and_the_end_is_judged_by_counts() -> None:
    one = embedding.Together(2, 3, 0, 4, 20 << 20, 1 << 20, 100.0, 150.0)
    life = embedding.Lifetimes("Ring", 5, 0, 4096, 0, 0, 0.5)
    said = "\n".join(embedding.table(one, [life]))
    for figure in ("20.0 MiB", "1.00 MiB", "1.50", "+4", "+0"):
        assert figure in said
    assert embedding.sound(one, [life])
    for worse in (
        (embedding.Together(2, 3, 1, 4, 1, 1, 1.0, 1.0), life),
        (one, embedding.Lifetimes("Ring", 5, 0, embedding.GROWTH_BYTES + 1, 0, 0, 0.5)),
        (one, embedding.Lifetimes("Ring", 5, 0, 0, 1, 0, 0.5)),
        (one, embedding.Lifetimes("Ring", 5, 0, 0, 0, 1, 0.5)),
    ):
        assert not embedding.sound(worse[0], [worse[1]])


def test_what_is_left_behind_is_seen() -> None:
    left: list[int] = []

    def careless() -> bool:
        left.append(os.open(os.devnull, os.O_RDONLY))
        return len(left) != 3

    life = embedding.lives("careless", 20, careless)
    assert (life.descriptors, life.unlike) == (20, 1)
    for one in left:
        os.close(one)
