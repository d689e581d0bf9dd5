"""For tests of programs that embed this package: a kernel in memory, and records as it sends them.

The names here are public, as those of `auditsense` itself.
"""

from auditsense.testing.fake_kernel import FakeKernel
from auditsense.testing.records import Event, burst, datagram, datagrams, open_event, quoted

__all__ = ["Event", "FakeKernel", "burst", "datagram", "datagrams", "open_event", "quoted"]
