"""A ring that also recognises the sensor's own self-test, which is no detection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditsense import syscalls
from auditsense.core.hit import split
from auditsense.core.ring import Limits, Ring
from auditsense.core.rule_table import Call, Field, Op, Rule, RuleTable, Test

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPENS = ("open", "openat")  # the calls that a libc makes for an open


def probe_rule(path: str) -> Rule:
    """Return the rule that selects every open of exactly this path."""
    calls = [Call(arch, number) for name in _OPENS for arch, number in syscalls.calls(name)]
    return Rule(
        calls=tuple(calls),
        tests=(Test(Field.PATH_NAME, Op.TEXT, (path.encode(),)),),
        keys=(),
        count=1,
        span_ms=1,
    )


class SelfTestRing(Ring):
    """A `Ring` that sets the opens of one path aside.

    Args:
        rules, limits, options: as for `Ring`.
        path: the path.
    """

    def __init__(self, rules: RuleTable, limits: Limits | None = None, *, path: str, **options: Any) -> None:  # noqa: ANN401 - those of Ring
        super().__init__((*rules, probe_rule(path)), limits, **options)
        self._probe = len(rules)
        self._pids: list[int] = []

    def drain_bytes(self) -> bytes:
        """Return the waiting hits, without those of the self-test."""
        rest, hits = split(super().drain_bytes(), self._probe)
        self._pids += [pid for hit in hits if (pid := hit.number(Field.PID)) is not None]
        return rest

    def migrate_from(self, older: Ring, rules: Sequence[int | None]) -> bool:
        """Continue where another ring was; see `Ring.migrate_from`."""
        if not super().migrate_from(older, [*rules, self._probe]):
            return False
        if isinstance(older, SelfTestRing):
            self._pids = older.pids()
        return True

    def pids(self) -> list[int]:
        """Return the processes that opened the path since the last call."""
        pids, self._pids = self._pids, []
        return pids
