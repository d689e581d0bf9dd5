"""A burst: the completed windows of one actor.

One alert reports it and, when more came, one closing document.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auditsense.core.rule_table import ACTOR, Field

if TYPE_CHECKING:
    from auditsense.core.hit import Hit

Values = tuple[bytes | None, ...]
BurstKey = tuple[int, Values]
"""The rule, and the values of the fields that tell bursts apart."""

MOST_ACTORS = 64
"""Actors that one burst tells apart, where the owner's policy puts several into one burst."""
MOST_WINDOWS = 1024
"""Windows that one burst tells apart."""
_UNSET = b"4294967295"


def actor_of(hit: Hit) -> Values:
    """Return who completed a window: executable, user, login and session, as the kernel wrote them."""
    return tuple(hit.value(one) for one in ACTOR)


def account_of(hit: Hit) -> tuple[str, bytes | None]:
    """Return whose right to be reported a burst uses.

    A login stays with all that a user starts and cannot be changed without privilege, while user namespaces
    give one user many user ids. Root is an account of its own, so that a login cannot use root's right.
    """
    uid, login = hit.value(Field.UID), hit.value(Field.AUID)
    return ("user", uid) if uid == b"0" or login in {None, _UNSET} else ("login", login)


@dataclass(slots=True)
class Burst:
    """The state of one burst.

    Attributes:
        key: what tells it apart from others.
        first: the hit that began it; its documents have its fields.
        began: its number among all bursts.
        count: matches of its actors so far.
        last_ms: stamp of its newest event.
        quiet_ms: when it was quiet since, in the time of its stream.
        run: the run of hits it was last part of.
        used: its place in the order in which bursts were last used.
        windows: whose sequences are in it, the first `MOST_WINDOWS`; of each, the newest stamp of the events
            that completed it.
        told: an alert was sent.
        told_count: `count` as last reported.
        told_ms: when it was last reported, in the time of its stream.
        suppressed: sequences that made no document.
        ended: it was quiet for the suppression time or was evicted.
        actors: matches of each actor, where the policy puts several into one burst.
        more_actors: matches of actors beyond `MOST_ACTORS`.
        account: whose right to be reported it uses.
        group: account, user and executable.
    """

    key: BurstKey
    first: Hit
    began: int
    count: int
    last_ms: int
    quiet_ms: int
    run: int
    used: int
    account: tuple[str, bytes | None]
    group: tuple[object, ...]
    windows: dict[Values, int] = field(default_factory=dict)
    told: bool = False
    told_count: int = 0
    told_ms: int = 0
    suppressed: int = 0
    ended: bool = False
    actors: dict[Values, int] | None = None
    more_actors: int = 0

    def complete(self, window: Values, hit: Hit) -> int:
        """Note that a window completed. Returns the matches of its actor that no hit before had.

        Between two completions a window may get matches that complete none: after a pause, or from a slow
        scanner. The hit's events tell them; windows that the core has merged had one new match each.
        """
        newest_ms = self.windows.get(window)
        if newest_ms is None:
            if len(self.windows) >= MOST_WINDOWS:
                return 1
            self.windows[window] = hit.last_ms
            return hit.count - hit.others
        self.windows[window] = max(newest_ms, hit.last_ms)
        newer = sum(1 for one in hit.ids if one.ms > newest_ms)
        return max(1, newer - hit.others)  # each of the others may be among them

    def add(self, actor: Values, matches: int) -> None:
        """Count matches of an actor."""
        self.count += matches
        if self.actors is not None:
            if actor in self.actors or len(self.actors) < MOST_ACTORS:
                self.actors[actor] = self.actors.get(actor, 0) + matches
            else:
                self.more_actors += matches
