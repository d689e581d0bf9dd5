"""Which records a sensor can do without, so that the kernel need not send them to it.

Of the five records of an open, three say nothing that most detections ask for. A filter on the sensor's
own socket (`sources.netlink.filter_out`) leaves them out; what others are sent is not changed by it.

Rule: no loss becomes invisible by it. Every event keeps its SYSCALL record, so its serial is seen, and an
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
    """What can be left out.

    Attributes:
        unsent: record types; of an open the kernel makes one record of each.
        end: what then tells that all records of an event have come.
    """

    unsent: frozenset[int]
    end: EventEnd


def unneeded_records(rules: RuleTable) -> RecordFilter:
    """Return what can be left out when events are decided by these rules."""
    asked = {test.field for rule in rules for test in rule.tests}
    asked |= {test.field for rule in rules for one in rule.exceptions for test in one.tests}
    asked |= {key for rule in rules for key in rule.keys}
    unsent = {_EOE}
    if Field.CWD not in asked:
        unsent.add(_CWD)
    if Field.PROCTITLE in asked:
        return RecordFilter(frozenset(unsent), EventEnd.PROCTITLE)
    return RecordFilter(frozenset(unsent | {_PROCTITLE}), EventEnd.PATHS)
