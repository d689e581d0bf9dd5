"""A small run of the embedding bench: its counts must hold, its times may vary."""

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


def test_parallel_detectors_find_the_same_as_alone() -> None:
    shared = embedding.together(12, 300)
    assert shared.differ == 0
    assert shared.documents >= 12
    assert shared.configured_bytes > shared.resident_bytes


def test_lifetimes_leak_nothing() -> None:
    several = embedding.all_lives(15)
    assert [life.name.split(",")[0] for life in several] == ["Ring", "Detector", "Sensor"]
    assert {life.cycles for life in several} == {15}
    assert {(life.descriptors, life.unlike) for life in several} == {(0, 0)}


def test_table_has_all_figures_and_counts_decide() -> None:
    shared = embedding.Together(2, 3, 0, 4, 20 << 20, 1 << 20, 100.0, 150.0)
    life = embedding.Lifetimes("Ring", 5, 0, 4096, 0, 0, 0.5)
    text = "\n".join(embedding.table(shared, [life]))
    for figure in ("20.0 MiB", "1.00 MiB", "1.50", "+4", "+0"):
        assert figure in text
    assert embedding.sound(shared, [life])
    for worse in (
        (embedding.Together(2, 3, 1, 4, 1, 1, 1.0, 1.0), life),
        (shared, embedding.Lifetimes("Ring", 5, 0, embedding.GROWTH_BYTES + 1, 0, 0, 0.5)),
        (shared, embedding.Lifetimes("Ring", 5, 0, 0, 1, 0, 0.5)),
        (shared, embedding.Lifetimes("Ring", 5, 0, 0, 0, 1, 0.5)),
    ):
        assert not embedding.sound(worse[0], [worse[1]])


def test_leaked_descriptors_are_counted() -> None:
    leaked: list[int] = []

    def careless() -> bool:
        leaked.append(os.open(os.devnull, os.O_RDONLY))
        return len(leaked) != 3

    life = embedding.lives("careless", 20, careless)
    assert (life.descriptors, life.unlike) == (20, 1)
    for descriptor in leaked:
        os.close(descriptor)
