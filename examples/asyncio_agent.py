"""An agent with asyncio: alerts go to a slow place, and the sensor never waits for it."""

import asyncio
import contextlib
import json
import signal

import auditsense


async def send(alert: auditsense.Document) -> None:
    """Stand for a request to somewhere."""
    await asyncio.sleep(0.01)
    print(json.dumps(alert), flush=True)


async def watch(sensor: auditsense.Sensor) -> None:
    # At most 1,000 alerts wait for send(); what comes beyond is dropped, and counted.
    async with sensor, sensor.queue(1000) as alerts:
        async for alert in alerts:
            await send(alert)
        if alerts.dropped:
            print(json.dumps({"dropped": alerts.dropped}), flush=True)


async def main(sensor: auditsense.Sensor) -> None:
    # SIGTERM ends the iteration in order: bursts are closed, the host is put back.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sensor.stop)
    await watch(sensor)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C cancels, and the host is put back as well
        asyncio.run(main(auditsense.Sensor()))
