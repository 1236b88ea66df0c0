"""Redis stops and comes back: events go on without it, and with it again."""

from __future__ import annotations

from pathlib import Path

import pytest
from events_sample.world import all_applied, consumer, publish, relay, running
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.devstack.valkey import EmbeddedValkey
from apportion.errors import UpstreamUnavailable
from apportion.events import Redis, ReplayPort, WeatherCell, publish_weather
from apportion.testing.polling import eventually


async def test_events_and_weather_survive_a_stop_and_a_wiped_start(
    publisher: AsyncEngine, subscriber: AsyncEngine, port: ReplayPort, tmp_path: Path
) -> None:
    valkey = EmbeddedValkey(tmp_path / "valkey")
    redis = Redis(await valkey.start())
    worker = consumer(subscriber, redis, port, sweep_seconds=600)
    cell = WeatherCell(redis, "weather:ticks:1")
    async with running(relay(publisher, redis).run, worker.run, cell.run):
        await publish(publisher, 1, count=3)
        await eventually(lambda: all_applied(publisher, subscriber))
        await publish_weather(redis, "weather:ticks:1", b"sunny", 1)
        assert await cell.newer(0) == (1, b"sunny")

        await valkey.stop()
        with pytest.raises(UpstreamUnavailable):
            await redis.ping()
        await publish(publisher, 1, count=3)
        await publish(publisher, 2, count=3)
        await eventually(lambda: all_applied(publisher, subscriber))
        assert cell.latest() == (1, b"sunny")

        await valkey.start()
        await publish(publisher, 2, count=3)
        await eventually(lambda: all_applied(publisher, subscriber))
        await publish_weather(redis, "weather:ticks:1", b"rainy", 2)
        assert await cell.newer(1) == (2, b"rainy")
    await redis.close()
    await valkey.stop()


async def test_consumer_starts_without_redis(publisher: AsyncEngine, subscriber: AsyncEngine, port: ReplayPort) -> None:
    nowhere = Redis("redis://127.0.0.1:1/0")
    await publish(publisher, 9, count=3)
    async with running(consumer(subscriber, nowhere, port).run):
        await eventually(lambda: all_applied(publisher, subscriber))
        await publish(publisher, 9, count=3)
        await eventually(lambda: all_applied(publisher, subscriber))
