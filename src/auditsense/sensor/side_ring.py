"""A ring with side rules, whose hits are read separately: the self-test, and the events next to alerts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from auditsense import syscalls
from auditsense.core.hit import partition_hits, read_hits
from auditsense.core.ring import Limits, Ring
from auditsense.core.rule_table import (
    Field,
    Op,
    Predicate,
    Rule,
    RuleTable,
    Selection,
    conjunction,
    extend,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SELF_TEST: Final = "self-test"
EVENTS: Final = "events"
_OPENS: Final = ("open", "openat")  # the calls that a libc makes for an open


def self_test_rule(path: str) -> Selection:
    """Return the rule that selects every open of exactly this path."""
    return Selection(
        Rule(),
        calls=tuple(call for name in _OPENS for call in syscalls.calls(name)),
        program=conjunction([(Predicate(Field.PATH_NAME, Op.TEXT, (path.encode(),)), True)]),
    )


class SideRing(Ring):
    """A `Ring` that sets the hits of side rules apart.

    Args:
        rules, limits, options: as for `Ring`.
        side_rules: by name.
    """

    def __init__(
        self,
        rules: RuleTable,
        limits: Limits | None = None,
        *,
        side_rules: Mapping[str, Selection],
        **options: Any,  # noqa: ANN401 - those of Ring
    ) -> None:
        super().__init__(extend(rules, side_rules.values()), limits, **options)
        self._indexes = {name: len(rules) + n for n, name in enumerate(side_rules)}
        self._sides = dict.fromkeys(side_rules, b"")

    def drain_bytes(self) -> bytes:
        """Return the waiting hits, without those of side rules."""
        drained = super().drain_bytes()
        if drained:
            for name, index in self._indexes.items():
                drained, side = partition_hits(drained, index)
                self._sides[name] += side
        return drained

    def take_side(self, name: str) -> bytes:
        """Return the hits of a side rule since the last call; empty when there is no such rule."""
        hits = self._sides.get(name, b"")
        if hits:
            self._sides[name] = b""
        return hits

    def migrate_from(self, older: Ring, rules: Sequence[int | None]) -> bool:
        """Continue where another ring was; see `Ring.migrate_from`."""
        if not super().migrate_from(older, [*rules, *self._indexes.values()]):
            return False
        if isinstance(older, SideRing):
            self._sides = {name: older.take_side(name) for name in self._sides}
        return True


def self_test_pids(ring: Ring) -> list[int]:
    """Return the processes that opened the self-test's path since the last call."""
    hits = ring.take_side(SELF_TEST) if isinstance(ring, SideRing) else b""
    return [pid for hit in read_hits(hits) if (pid := hit.number(Field.PID)) is not None]
