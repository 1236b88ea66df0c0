"""The live state of accounts, out of Redis."""

from __future__ import annotations

from apportion.events import Redis, WeatherCell
from apportion.events.weather import accounts_key
from apportion.risk.domain.snapshots import Snapshot
from apportion.risk.wire import parse_states_weather


class RedisWeather:
    """One look at a time."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def newest(self, label: int, trading_server_id: int) -> Snapshot | None:
        """Raises UpstreamUnavailable while Redis is away. The weather has no label: a trading server has one."""
        payload = await WeatherCell(self._redis, accounts_key(trading_server_id)).read()
        return None if payload is None else parse_states_weather(payload)
