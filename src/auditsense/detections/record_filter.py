"""Records that need not come, so that the kernel need not send them.

Of the five records of an open, a sensor reads four, and most detections need two. A filter on the sensor's
own socket (`sources.audit_socket.filter_out`) leaves the others out, for this socket only (ADR 13, ADR 35).

Rule: no loss becomes invisible. Every event keeps its SYSCALL record, so its serial is seen, and an
      event without its end is incomplete.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditsense._frozen import Frozen
from auditsense.core.rule_table import EventEnd, Field

if TYPE_CHECKING:
    from auditsense.core.rule_table import RuleTable

_SOCKADDR: Final = 1306  # linux/audit.h
_CWD: Final = 1307
_EXECVE: Final = 1309
_EOE: Final = 1320
_BPRM_FCAPS: Final = 1321
_PROCTITLE: Final = 1327

UNREAD: Final = frozenset({1303, 1304, 1311, 1312, 1313, 1314, 1315, 1317, 1318, 1322, 1323, 1337})
"""Records of system calls that no field comes from: IPC, SOCKETCALL, IPC_SET_PERM, MQ_OPEN, MQ_SENDRECV,
MQ_NOTIFY, MQ_GETSETATTR, FD_PAIR, OBJ_PID, CAPSET, MMAP, OPENAT2."""

_FIELDS: Final = {
    _SOCKADDR: {Field.SOCKET_FAMILY, Field.SOCKET_IP, Field.SOCKET_PORT, Field.SOCKET_PATH},
    _CWD: {Field.CWD, Field.PATHS},
    _EXECVE: {
        *(Field.ARGC, Field.ARGS, Field.COMMAND_LINE),
        # Parents and leaders of sessions are known from their own starts.
        *(Field.PARENT_NAME, Field.PARENT_EXECUTABLE, Field.PARENT_ARGS, Field.PARENT_COMMAND_LINE),
        *(Field.PARENT_ENTITY_ID, Field.ENTITY_ID, Field.LEADER_EXECUTABLE, Field.LEADER_ARGS),
        Field.LEADER_TYPE,
    },
    _BPRM_FCAPS: {Field.CAPABILITIES},
    _PROCTITLE: {Field.PROCTITLE},
}
"""Fields by the record that they come from."""


@dataclass(slots=True, eq=False, repr=False)
class RecordFilter(Frozen):
    """The records to leave out.

    Attributes:
        unsent: record types.
        end: the end of an event without them.
    """

    unsent: frozenset[int]
    end: EventEnd

    @property
    def unsent_per_event(self) -> int:
        """Records of an ordinary event that are left out."""
        return len(self.unsent & {_CWD, _EOE, _PROCTITLE})


ALL_RECORDS: Final = RecordFilter(frozenset(), EventEnd.EOE)
"""Nothing is left out."""

READ_RECORDS: Final = RecordFilter(UNREAD | {_EOE}, EventEnd.PROCTITLE)
"""Only what no field comes from is left out. Wrong for a kernel that does not write PROCTITLE records."""

TITLE_RECORD: Final = _PROCTITLE
"""The record that ends events of `READ_RECORDS`."""


def needed_records(rules: RuleTable) -> RecordFilter:
    """Return the filter that leaves out whatever these rules do not compare."""
    used = {node.predicate.field for program in rules.programs() for node in program}
    used |= {key for filter_ in rules.filters() for key in filter_.keys}
    unneeded = {kind for kind, fields in _FIELDS.items() if not fields & used}
    if rules.processes:
        unneeded.discard(_EXECVE)
    unsent = UNREAD | unneeded | {_EOE}
    if _PROCTITLE in unsent and _SOCKADDR in unsent:
        return RecordFilter(unsent, EventEnd.PATHS)
    # SOCKADDR follows the SYSCALL record of calls that announce no PATH record.
    return RecordFilter(unsent - {_PROCTITLE}, EventEnd.PROCTITLE)
