"""An agent that owns its audit socket already: what it receives goes to a detector as well."""

import json
import select
import socket
import time
from collections.abc import Iterator

import auditsense

LONGEST = 16384  # of a record with its header; the kernel's longest is about 9,500 bytes


def received(audit: socket.socket) -> Iterator[bytes]:
    """Yield what waits on the socket, header included, as long as the kernel has sent it."""
    while True:
        try:
            datagram, sender = audit.recvfrom(LONGEST)
        except BlockingIOError:
            return
        if sender and sender[0] == 0:  # (port, groups): the kernel's port is 0, everybody else is a stranger
            yield datagram


def step(detector: auditsense.Detector, datagrams: Iterator[bytes]) -> list[auditsense.Document]:
    """Do what has to be done each time that something came, and once a second if nothing does."""
    return detector.feed(datagrams, time.monotonic_ns() // 1_000_000)


def main() -> None:
    # The kernel's group of readers: beside whoever owns the socket. Needs CAP_AUDIT_READ, changes nothing.
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as audit, auditsense.Detector() as detector:
        audit.bind((0, 1))
        audit.settimeout(0)
        while True:
            select.select([audit], [], [], 1)
            for document in step(detector, received(audit)):
                print(json.dumps(document), flush=True)


if __name__ == "__main__":
    main()
