"""An asyncio agent that sends alerts to a slow destination without delaying the sensor."""

import asyncio
import contextlib
import json
import signal

import auditsense


async def send(alert: auditsense.Document) -> None:
    """Stand in for a slow request."""
    await asyncio.sleep(0.01)
    print(json.dumps(alert), flush=True)


async def watch(sensor: auditsense.Sensor) -> None:
    # At most 1,000 alerts wait for send(); more are dropped and counted.
    async with sensor, sensor.queue(1000) as alerts:
        async for alert in alerts:
            await send(alert)
        if alerts.dropped:
            print(json.dumps({"dropped": alerts.dropped}), flush=True)


async def main(sensor: auditsense.Sensor) -> None:
    # SIGTERM ends the iteration in order: bursts are closed and the host is restored.
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, sensor.stop)
    await watch(sensor)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C cancels and restores the host too
        asyncio.run(main(auditsense.Sensor()))
