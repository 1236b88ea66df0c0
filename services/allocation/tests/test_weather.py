"""The newest snapshots of trading servers: followed once for each, parsed once for each version."""

from __future__ import annotations

from apportion.allocation.adapters.weather import ServerWeather
from apportion.events import Redis, publish_weather
from apportion.runtime import Background
from apportion.testing.polling import eventually


async def test_each_version_of_each_server_is_parsed_once(redis_url):
    parsed = []

    def parse(payload: bytes, before: list[bytes] | None) -> list[bytes]:
        parsed.append(payload)
        return [*(before or ()), payload]

    redis = Redis(redis_url)
    async with Background() as background:
        weather = ServerWeather(redis, background, "test:{}".format, parse)
        assert await weather.newest(1) is None
        await publish_weather(redis, "test:1", b"sun", 1)
        await publish_weather(redis, "test:2", b"fog", 9)
        assert (await weather.newest(1), await weather.newest(2)) == ([b"sun"], [b"fog"])
        assert await weather.newest(1) is await weather.newest(1)
        await publish_weather(redis, "test:1", b"rain", 2)

        async def changed() -> bool:
            return await weather.newest(1) == [b"sun", b"rain"]

        await eventually(changed)
    assert sorted(parsed) == [b"fog", b"rain", b"sun"]
    await redis.close()


async def test_without_redis_nothing_is_heard():
    async with Background() as background:
        weather = ServerWeather(Redis("redis://127.0.0.1:1"), background, "test:{}".format, lambda payload, _: payload)
        assert await weather.newest(1) is None
