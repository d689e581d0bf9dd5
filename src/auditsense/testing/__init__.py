"""For tests of embedders: a kernel, a source and a clock in memory, and records from readable text."""

from auditsense.testing.fake_clock import FakeClock
from auditsense.testing.fake_kernel import FakeKernel
from auditsense.testing.fake_source import FakeSource
from auditsense.testing.records import (
    EventRecords,
    burst,
    call_event,
    datagram,
    datagrams,
    open_event,
    quoted,
)

__all__ = [
    "EventRecords",
    "FakeClock",
    "FakeKernel",
    "FakeSource",
    "burst",
    "call_event",
    "datagram",
    "datagrams",
    "open_event",
    "quoted",
]


def __dir__() -> list[str]:
    return sorted(__all__)
