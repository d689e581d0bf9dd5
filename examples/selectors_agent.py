"""An agent with its own event loop, which waits for a descriptor and a timeout."""

import contextlib
import json
import selectors
import socket

import auditsense


def serve(sensor: auditsense.Sensor, commands: socket.socket) -> None:
    """Print alerts until the other socket is readable."""
    with sensor, selectors.DefaultSelector() as selector:
        selector.register(sensor, selectors.EVENT_READ)
        selector.register(commands, selectors.EVENT_READ)
        ended = False
        while not ended:
            ready = selector.select(sensor.timeout_s())  # some work is due even if nothing comes
            ended = any(key.fileobj is commands for key, _ in ready)
            for alert in sensor.finish() if ended else sensor.poll():
                print(json.dumps(alert), flush=True)


if __name__ == "__main__":
    ours, theirs = socket.socketpair()
    with ours, theirs, contextlib.suppress(KeyboardInterrupt):  # leaving restores the host
        serve(auditsense.Sensor(), ours)
