"""A detector that looks for one thing more, which is no detection: the sensor's own self-test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditsense import syscalls
from auditsense.core.hit import split
from auditsense.core.ring import Limits, Ring
from auditsense.core.rule_table import ACTOR, Call, EventEnd, Field, Op, Rule, RuleTable, Test
from auditsense.detect.detector import Detector, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditsense.core.hit import Hit
    from auditsense.detect.alerts import AlertPolicy
    from auditsense.detect.ecs import Document
    from auditsense.detections.model import Detection

_OPENS = ("open", "openat")  # what a libc makes of an open


def probe_rule(path: str) -> Rule:
    """Return the rule that every open of exactly this path is a hit of."""
    calls = [Call(arch, number) for name in _OPENS for arch, number in syscalls.calls(name)]
    return Rule(
        calls=tuple(calls),
        tests=(Test(Field.PATH_NAME, Op.TEXT, (path.encode(),)),),
        keys=(),
        count=1,
        span_ms=1,
    )


class _ProbedRing(Ring):
    """A ring whose last rule is the probe; its hits go aside."""

    def __init__(
        self,
        rules: RuleTable,
        limits: Limits | None,
        *,
        end: EventEnd = EventEnd.EOE,
        seed: int | None = None,
    ) -> None:
        super().__init__(rules, limits, end=end, actor=ACTOR, seed=seed)
        self._probe = len(rules) - 1
        self.probed: list[Hit] = []

    def drain_bytes(self) -> bytes:
        """Take the waiting hits but those of the probe."""
        rest, probed = split(super().drain_bytes(), self._probe)
        self.probed += probed
        return rest


class ProbedDetector(Detector):
    """A `Detector` that also sees opens of one path, and never makes a document of them.

    Args:
        detections, view, policy, limits, lean: see `Detector`.
        path: the path.
    """

    def __init__(  # noqa: PLR0913 - those of Detector, and one
        self,
        detections: Sequence[Detection] | None = None,
        *,
        view: View = View.ALERTS,
        policy: AlertPolicy | None = None,
        limits: Limits | None = None,
        lean: bool = False,
        path: str,
    ) -> None:
        self._probe = probe_rule(path)
        super().__init__(detections, view=view, policy=policy, limits=limits, lean=lean)

    def _ring_of(self, rules: RuleTable, seed: int | None = None) -> Ring:
        return _ProbedRing((*rules, self._probe), self._limits, end=self._spared.end, seed=seed)

    def _go_on(self, ring: Ring, moved: Sequence[int | None]) -> list[Document]:
        before = self.ring
        documents = super()._go_on(ring, [*moved, len(ring.rules) - 1])
        if isinstance(before, _ProbedRing) and isinstance(ring, _ProbedRing):
            ring.probed = before.probed
        return documents

    def probed(self) -> list[int]:
        """Return the processes that opened the path since the last call."""
        ring = self.ring
        if not isinstance(ring, _ProbedRing):
            return []
        hits, ring.probed = ring.probed, []
        return [pid for hit in hits if (pid := hit.number(Field.PID)) is not None]
