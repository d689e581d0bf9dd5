"""Which open burst counts what another detection finds of the same actor (`Detection.joins`).

    hit of a detection that joins others ─► open burst of one of these with the same values ─► counted there

Several detections look at the same act: a scan that Elastic's rule finds is one by its rate as well. One act
is one alert, and the first detection that finds it names it. A detection that joins none, as Elastic's rule,
always has a separate alert.

Rule 1: the compared fields are those of the window of the joining detection. If that window is about a
        process, a program or a whole host, the actor has to be the same as well: executable, user, login and
        session.
Rule 2: a burst that waits for an alert takes others in, too: it will be reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from auditsense.core.rule_table import ACTOR, Field

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditsense.core.hit import Hit
    from auditsense.detect.burst_state import Burst, Values
    from auditsense.detections.model import Detection

_OF_A_PROGRAM: Final = frozenset({Field.PID, Field.EXE})


class Joins:
    """Finds the burst that a hit joins.

    Args:
        detections: in the order of the rule table.
        windows_by: fields of the window of each.
    """

    def __init__(self, detections: Sequence[Detection], windows_by: Sequence[tuple[Field, ...]]) -> None:
        index = {detection.id: rule for rule, detection in enumerate(detections)}
        self._targets = [
            tuple(dict.fromkeys(index[name] for name in detection.joins if name in index))
            for detection in detections
        ]
        self._fields = [
            tuple(dict.fromkeys((*by, *ACTOR))) if _OF_A_PROGRAM & {*by} or {*by} <= {Field.NODE} else by
            for by in windows_by
        ]
        self._joining: dict[int, list[int]] = {}  # rules that join each rule
        for rule, targets in enumerate(self._targets):
            for target in targets:
                self._joining.setdefault(target, []).append(rule)
        self._open: dict[tuple[int, int, Values], dict[int, Burst]] = {}

    def add(self, burst: Burst) -> None:
        """Add a burst that has begun."""
        for place in self._places(burst):
            self._open.setdefault(place, {})[id(burst)] = burst

    def remove(self, burst: Burst) -> None:
        """Remove a burst that ends."""
        for place in self._places(burst):
            bursts = self._open[place]
            del bursts[id(burst)]
            if not bursts:
                del self._open[place]

    def add_all(self, bursts: Iterable[Burst]) -> None:
        """Add bursts that are open."""
        for burst in bursts:
            self.add(burst)

    def find(self, hit: Hit) -> Burst | None:
        """Return the open burst that a hit joins: the newest of the first detection that has one."""
        targets = self._targets[hit.rule]
        if not targets:
            return None
        values = self._values(hit.rule, hit)
        for target in targets:
            bursts = self._open.get((hit.rule, target, values))
            if bursts:
                return bursts[next(reversed(bursts))]
        return None

    def _values(self, rule: int, hit: Hit) -> Values:
        return tuple(hit.value(field) for field in self._fields[rule])

    def _places(self, burst: Burst) -> list[tuple[int, int, Values]]:
        target = burst.key[0]
        return [(rule, target, self._values(rule, burst.first)) for rule in self._joining.get(target, ())]
