"""The newest owner's weather wins, also over one with a fast clock that wakes up late."""

from __future__ import annotations

from datetime import timedelta

from apportion.events import Redis, publish_weather
from apportion.platform_groups.workers.weather_version import WeatherVersion
from apportion.runtime.clock import FixedClock
from apportion.storage.leases import Lease


def version_of(epoch: int, clock: FixedClock) -> WeatherVersion:
    return WeatherVersion(Lease("connector", "1", "somebody", epoch), clock)


async def test_an_older_owner_never_turns_the_weather_back(redis_url: str, clock: FixedClock) -> None:
    redis = Redis(redis_url)
    fast = FixedClock(clock.now() + timedelta(days=400))
    stopped, newer = version_of(7, fast), version_of(8, clock)
    assert await publish_weather(redis, "weather:test", b"old", stopped.next())
    assert await publish_weather(redis, "weather:test", b"new", newer.next())
    fast.advance(86_400)
    assert not await publish_weather(redis, "weather:test", b"old", stopped.next())
    assert await publish_weather(redis, "weather:test", b"newer", newer.next())
    await redis.close()


def test_versions_grow_while_the_clock_stands_or_goes_back(clock: FixedClock) -> None:
    version = version_of(1, clock)
    first, second = version.next(), version.next()
    clock.set(clock.now() - timedelta(hours=1))
    assert first < second < version.next() < 2**63
