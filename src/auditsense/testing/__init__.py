"""For tests of programs that embed this package: a kernel, a source and a clock in memory, and records.

The names here are public, as those of `auditsense` itself.
"""

from auditsense.testing.fake_clock import FakeClock
from auditsense.testing.fake_kernel import FakeKernel
from auditsense.testing.fake_source import FakeSource
from auditsense.testing.records import Event, burst, call_event, datagram, datagrams, open_event, quoted

__all__ = [
    "Event",
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
