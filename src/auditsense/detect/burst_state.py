"""State of a burst: the completed windows of one actor. `suppression` decides which of them is an alert."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auditsense.core.rule_table import ACTOR, Field

if TYPE_CHECKING:
    from auditsense.core.hit import Hit

Values = tuple[bytes | None, ...]
BurstKey = tuple[int, Values]
"""The rule and the values of the fields that tell bursts apart."""

MOST_ACTORS = 64
"""Actors that a burst counts separately, if the policy allows several in one burst."""
MOST_WINDOWS = 1024
"""Windows that a burst counts separately."""
_UNSET = b"4294967295"


def actor_of(hit: Hit) -> Values:
    """Return the actor of a window: executable, user, login and session as the kernel printed them."""
    return tuple(hit.value(field) for field in ACTOR)


def account_of(hit: Hit) -> tuple[str, bytes | None]:
    """Return the account whose share of the alert limit a burst uses.

    A login stays with all processes that a user starts and cannot be changed without privilege, while user
    namespaces give one user many user ids. Root is a separate account, so no login can use root's share.
    """
    uid, login = hit.value(Field.UID), hit.value(Field.AUID)
    return ("user", uid) if uid == b"0" or login in {None, _UNSET} else ("login", login)


@dataclass(slots=True)
class Burst:
    """The state of one burst.

    Attributes:
        key: identifies it.
        first: its first hit, which documents take their fields from.
        began: sequence number.
        count: matches of its actors so far.
        last_ms: stamp of its newest event.
        quiet_ms: time of its last activity, in the time of its stream.
        run: the last run of hits with one of its hits.
        used: sequence number of its last use.
        windows: the first `MOST_WINDOWS` of its windows, with the newest stamp of the completing events.
        alerted: an alert was sent.
        reported_count: `count` as last reported.
        reported_ms: time of the last report, in the time of its stream.
        suppressed: sequences without a document.
        ended: it was quiet for the suppression time, or was evicted.
        actors: matches of each actor, if the policy allows several in one burst.
        more_actors: matches of actors beyond `MOST_ACTORS`.
        also: ids of the detections whose windows were counted in it, in order.
        account: account whose share of the alert limit it uses.
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
    alerted: bool = False
    reported_count: int = 0
    reported_ms: int = 0
    suppressed: int = 0
    ended: bool = False
    actors: dict[Values, int] | None = None
    more_actors: int = 0
    also: dict[str, None] = field(default_factory=dict)

    def complete(self, window: Values, hit: Hit) -> int:
        """Record a completed window. Returns the matches of its actor that no earlier hit had.

        Between two completions a window may get matches that complete nothing: after a pause, or from a slow
        scanner. The hit's events show them. Windows that the core has merged had one new match each.
        """
        newest_ms = self.windows.get(window)
        if newest_ms is None:
            if len(self.windows) >= MOST_WINDOWS:
                return 1
            self.windows[window] = hit.last_ms
            return hit.count - hit.others
        self.windows[window] = max(newest_ms, hit.last_ms)
        newer = sum(1 for event_id in hit.ids if event_id.ms > newest_ms)
        return max(1, newer - hit.others)  # each of the others may be among them

    def add(self, actor: Values, matches: int) -> None:
        """Count matches of an actor."""
        self.count += matches
        if self.actors is not None:
            if actor in self.actors or len(self.actors) < MOST_ACTORS:
                self.actors[actor] = self.actors.get(actor, 0) + matches
            else:
                self.more_actors += matches
