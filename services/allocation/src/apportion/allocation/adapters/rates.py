"""Conversion rates by the ticks that the connectors of the trading servers publish."""

from __future__ import annotations

import structlog

from apportion.allocation.domain.conversion import Quote, conversion_e8
from apportion.allocation.operations.ports import Symbols
from apportion.api.platform_groups.v1 import events_pb2
from apportion.errors import UpstreamUnavailable
from apportion.events import Redis, WeatherCell
from apportion.events.weather import ticks_key
from apportion.runtime import Background

log = structlog.get_logger()


class WeatherRates:
    """Follows each server's ticks from its first question on. Over a weekend the last price stands."""

    def __init__(self, redis: Redis, background: Background, symbols: Symbols) -> None:
        self._redis = redis
        self._background = background
        self._symbols = symbols
        self._cells: dict[int, WeatherCell] = {}

    async def conversion_e8(self, label: int, trading_server_id: int, source: str, target: str) -> int:
        """Price of one unit of `source` in `target`, 1e-8; 0 while no quote leads there."""
        if source == target:
            return conversion_e8(source, target, ())
        payload = await self._newest(trading_server_id)
        if payload is None:
            return 0
        ticks = events_pb2.Ticks.FromString(payload)
        specs = self._symbols.at_hand(label, trading_server_id)
        quotes = [
            Quote(spec.base_currency_code, spec.profit_currency_code, bid_e8, ask_e8)
            for name, bid_e8, ask_e8 in zip(ticks.symbols, ticks.bids_e8, ticks.asks_e8, strict=True)
            if (spec := specs.get(name)) is not None
        ]
        return conversion_e8(source, target, quotes)

    async def _newest(self, trading_server_id: int) -> bytes | None:
        cell = self._cells.get(trading_server_id)
        if cell is None:
            cell = self._cells[trading_server_id] = WeatherCell(self._redis, ticks_key(trading_server_id))
            self._background.spawn(f"ticks_{trading_server_id}", cell.run)
        latest = cell.latest()
        if latest is None:
            try:
                await cell.read()
            except UpstreamUnavailable as error:
                log.warning("ticks_unavailable", cause=str(error))
            latest = cell.latest()
        return None if latest is None else latest[1]
