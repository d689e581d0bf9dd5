"""Records that no detection needs, so that the kernel need not send them.

Of the five records of an open, most detections need two. A filter on the sensor's own socket
(`sources.audit_socket.filter_out`) leaves the others out, for this socket only.

Rule: no loss becomes invisible. Every event keeps its SYSCALL record, so its serial is seen, and an
      event without the PATH records it announces is incomplete.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditsense.core.rule_table import EventEnd, Field

if TYPE_CHECKING:
    from auditsense.core.rule_table import RuleTable

_CWD: Final = 1307  # linux/audit.h
_EOE: Final = 1320
_PROCTITLE: Final = 1327


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """The records to leave out.

    Attributes:
        unsent: record types; of an open the kernel makes one record of each.
        end: the end of an event without them.
    """

    unsent: frozenset[int]
    end: EventEnd


def unneeded_records(rules: RuleTable) -> RecordFilter:
    """Return the records that these rules do not need."""
    used = {node.predicate.field for program in rules.programs() for node in program}
    used |= {key for filter_ in rules.filters() for key in filter_.keys}
    unsent = {_EOE}
    if Field.CWD not in used:
        unsent.add(_CWD)
    if Field.PROCTITLE in used:
        return RecordFilter(frozenset(unsent), EventEnd.PROCTITLE)
    return RecordFilter(frozenset(unsent | {_PROCTITLE}), EventEnd.PATHS)
