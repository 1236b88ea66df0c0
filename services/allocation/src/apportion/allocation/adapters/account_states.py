"""The weather: newest account states of the trading servers, followed through Redis."""

from __future__ import annotations

from typing import Any

import numpy as np
import structlog

from apportion.allocation.domain.accounts import AccountStates
from apportion.api.platform_groups.v1 import events_pb2
from apportion.errors import UpstreamUnavailable
from apportion.events import Redis, WeatherCell
from apportion.money import Int64Array
from apportion.rpc import column, from_timestamp
from apportion.runtime import Background

log = structlog.get_logger()


class WeatherStates:
    """Follows each server from its first question on; a snapshot is parsed once."""

    def __init__(self, redis: Redis, background: Background) -> None:
        self._redis = redis
        self._background = background
        self._cells: dict[int, WeatherCell] = {}
        self._parsed: dict[int, tuple[int, AccountStates]] = {}

    async def newest(self, trading_server_id: int) -> AccountStates | None:
        """None while nothing was heard of the server."""
        cell = self._cells.get(trading_server_id)
        if cell is None:
            cell = self._cells[trading_server_id] = WeatherCell(self._redis, f"weather:accounts:{trading_server_id}")
            self._background.spawn(f"weather_{trading_server_id}", cell.run)
        latest = cell.latest()
        if latest is None:
            await self._read(cell)
            latest = cell.latest()
        if latest is None:
            return None
        version, payload = latest
        known = self._parsed.get(trading_server_id)
        if known is None or known[0] != version:
            known = (version, _parse(payload, None if known is None else known[1]))
            self._parsed[trading_server_id] = known
        return known[1]

    async def _read(self, cell: WeatherCell) -> None:
        try:
            await cell.read()
        except UpstreamUnavailable as error:
            log.warning("account_states_unavailable", cause=str(error))


def _parse(payload: bytes, before: AccountStates | None) -> AccountStates:
    message = events_pb2.AccountStates.FromString(payload)
    account_ids = column(message.account_ids)
    if before is not None and np.array_equal(before.account_ids, account_ids):
        # The same array as before: what was aligned with it still is, at the cost of a look.
        account_ids = before.account_ids
    return AccountStates(
        observed_time=from_timestamp(message.observed_time, "observed_time"),
        account_ids=account_ids,
        balances_minor=_column(message.balances_minor, account_ids.size),
        equities_minor=_column(message.equities_minor, account_ids.size),
        margins_minor=_column(message.margins_minor, account_ids.size),
        free_margins_minor=_column(message.free_margins_minor, account_ids.size),
        leverages=_column(message.leverages, account_ids.size),
        server_time_ms=message.server_time_ms,
    )


def _column(values: Any, length: int) -> Int64Array:
    """A column that an older publisher did not fill is all 0."""
    return column(values).astype(np.int64, copy=False) if len(values) else np.zeros(length, dtype=np.int64)
