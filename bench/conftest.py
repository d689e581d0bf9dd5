"""Fixtures of the benches of the core: CPU time, enough rounds, and the cost of one event.

    pytest bench [-k WORD] [--benchmark-json FILE]

Each round creates a new core and feeds it the input; only feeding is timed. The relevant figure is the
minimum of the rounds, in ns per event (`extra_info` in the JSON, last lines of the output).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditsense.bench.inputs import measured_detections, packed
from auditsense.core.ring import Limits, Ring
from auditsense.detect.suppression import AlertPolicy
from auditsense.detections.compiler import compile_all

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_benchmark.fixture import BenchmarkFixture

    from auditsense.bench.inputs import InputShape
    from auditsense.core.ring import Stats
    from auditsense.core.rule_table import RuleTable

ROUNDS = 7
_FIGURES: list[tuple[str, float]] = []


@pytest.hookimpl(tryfirst=True)  # before the plugin reads it
def pytest_configure(config: pytest.Config) -> None:
    config.option.benchmark_timer = "time.process_time"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for name, figure in _FIGURES:
        terminalreporter.write_line(f"{name:<60}{figure:>10.1f} ns an event, minimum")


@pytest.fixture(scope="session")
def rules() -> RuleTable:
    """The shipped detection, as a sensor compiles it."""
    return compile_all(measured_detections(), merge_ms=AlertPolicy().suppress_ms)


@pytest.fixture
def timed(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Callable[..., None]:
    """Time a call, with the arguments of a set-up in each round, and record the cost of an event."""

    def run(work: Callable[..., object], setup: Callable[[], tuple[object, ...]], events: int) -> None:
        pedantic: Callable[..., object] = benchmark.pedantic  # untyped
        pedantic(work, setup=lambda: (setup(), {}), rounds=ROUNDS, iterations=1, warmup_rounds=1)
        benchmark.extra_info["events"] = events
        if benchmark.stats is not None:  # --benchmark-disable
            minimum = benchmark.stats.stats.min / events * 1e9
            benchmark.extra_info["ns_per_event"] = round(minimum, 1)
            _FIGURES.append((request.node.name, minimum))

    return run


@pytest.fixture
def feed(timed: Callable[..., None], rules: RuleTable) -> Iterator[Callable[..., Stats]]:
    """Time feeding packed datagrams to a new core; return its counts."""
    rings: list[Ring] = []

    def close() -> None:
        while rings:
            rings.pop().close()

    def run(shape: InputShape, *, table: RuleTable | None = None, limits: Limits | None = None) -> Stats:
        data = packed(shape)

        def setup() -> tuple[object, ...]:
            close()
            rings.append(Ring(rules if table is None else table, limits, seed=1))
            return rings[-1], data

        timed(lambda ring, packets: ring.feed(packets), setup, shape.events)
        return rings[-1].stats()

    yield run
    close()
