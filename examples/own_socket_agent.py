"""An agent that already reads an audit socket, and passes the datagrams to a detector."""

import json
import select
import socket
import time
from collections.abc import Iterator

import auditsense

MAX_BYTES = 16384  # a record with its header; the kernel's longest has about 9,500 bytes


def received(audit: socket.socket) -> Iterator[bytes]:
    """Yield the waiting datagrams that the kernel has sent, header included."""
    while True:
        try:
            datagram, sender = audit.recvfrom(MAX_BYTES)
        except BlockingIOError:
            return
        if sender and sender[0] == 0:  # (port, groups): the kernel's port is 0
            yield datagram


def step(detector: auditsense.Detector, datagrams: Iterator[bytes]) -> list[auditsense.Document]:
    """Detect. Call this for new datagrams, and once a second without any."""
    return detector.feed(datagrams, time.monotonic_ns() // 1_000_000)


def main() -> None:
    # The kernel's multicast group, next to the owner of the socket. Needs CAP_AUDIT_READ, changes nothing.
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as audit, auditsense.Detector() as detector:
        audit.bind((0, 1))
        audit.settimeout(0)
        while True:
            select.select([audit], [], [], 1)
            for document in step(detector, received(audit)):
                print(json.dumps(document), flush=True)


if __name__ == "__main__":
    main()
