"""Weather: the newest snapshot wins, by whatever way it came."""

from __future__ import annotations

from events_sample.world import running

from apportion.events import Redis, WeatherCell, publish_weather
from apportion.testing.polling import eventually

KEY = "weather:accounts:5"


async def test_snapshot_from_before_the_start_is_read(redis: Redis) -> None:
    cell = WeatherCell(redis, KEY)
    assert cell.latest() is None
    assert await cell.read() is None
    assert await publish_weather(redis, KEY, b"\x00\xff", 1_767_600_000_000)
    async with running(cell.run):
        assert await cell.newer(-1) == (1_767_600_000_000, b"\x00\xff")
    assert await cell.read() == b"\x00\xff"


async def test_newest_version_wins(redis: Redis) -> None:
    cell = WeatherCell(redis, KEY)
    async with running(cell.run):
        assert await publish_weather(redis, KEY, b"ten", 10)
        assert not await publish_weather(redis, KEY, b"nine", 9)
        assert not await publish_weather(redis, KEY, b"ten again", 10)
        assert await cell.newer(0) == (10, b"ten")
        await redis.command("FLUSHDB")
        assert await publish_weather(redis, KEY, b"nine", 9)
        assert await publish_weather(redis, KEY, b"eleven", 11)
        assert await cell.newer(10) == (11, b"eleven")


async def test_each_publication_arrives(redis: Redis) -> None:
    cell = WeatherCell(redis, KEY)
    async with running(cell.run):
        for version in range(1, 200):
            await publish_weather(redis, KEY, b"%d" % version, version)
        await eventually(lambda: cell.latest() == (199, b"199"))
