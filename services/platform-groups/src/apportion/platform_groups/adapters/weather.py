"""Live account states and prices in Redis: published by the connector, read for snapshots."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apportion.api.platform_groups.v1.events_pb2 import AccountStates, Ticks
from apportion.events import Redis, publish_weather
from apportion.events.weather import VERSION_DIGITS, accounts_key, ticks_key
from apportion.platform_groups.domain.server_facts import Int64s
from apportion.rpc import column


class Weather:
    """Implements WeatherPort."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def publish_states(self, states: AccountStates, *, version: int) -> None:
        await publish_weather(self._redis, accounts_key(states.trading_server_id), states.SerializeToString(), version)

    async def publish_ticks(self, ticks: Ticks, *, version: int) -> None:
        await publish_weather(self._redis, ticks_key(ticks.trading_server_id), ticks.SerializeToString(), version)


@dataclass(frozen=True, slots=True)
class _Parsed:
    version: bytes
    states: AccountStates
    account_ids: Int64s


class Snapshots:
    """Implements SnapshotsPort. The newest published states are parsed once per version."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._parsed: dict[int, _Parsed] = {}

    async def row(self, trading_server_id: int, account_id: int) -> tuple[AccountStates, int] | None:
        """The states of the server and the account's index in them. Raises UpstreamUnavailable."""
        version = await self._redis.command("GETRANGE", accounts_key(trading_server_id), 0, VERSION_DIGITS - 1)
        if not isinstance(version, bytes) or not version:
            return None
        parsed = self._parsed.get(trading_server_id)
        if parsed is None or parsed.version != version:
            value = await self._redis.command("GET", accounts_key(trading_server_id))
            if not isinstance(value, bytes):
                return None
            states = AccountStates.FromString(value[VERSION_DIGITS:])
            parsed = _Parsed(value[:VERSION_DIGITS], states, column(states.account_ids))
            self._parsed[trading_server_id] = parsed
        index = int(np.searchsorted(parsed.account_ids, account_id))
        if index == len(parsed.account_ids) or parsed.account_ids[index] != account_id:
            return None
        return parsed.states, index
