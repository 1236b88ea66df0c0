"""Conversion rates by the ticks that the connectors of the trading servers publish."""

from __future__ import annotations

from apportion.allocation.adapters.weather import ServerWeather
from apportion.allocation.domain.conversion import Quote, conversion_e8
from apportion.allocation.operations.ports import Symbols
from apportion.api.platform_groups.v1.events_pb2 import Ticks
from apportion.events import Redis
from apportion.events.weather import ticks_key
from apportion.runtime import Background


class WeatherRates:
    """Rates by the newest ticks of each server. Over a weekend the last price stands."""

    def __init__(self, redis: Redis, background: Background, symbols: Symbols) -> None:
        self._ticks = ServerWeather(redis, background, ticks_key, _parse)
        self._symbols = symbols

    async def conversion_e8(self, label: int, trading_server_id: int, source: str, target: str) -> int:
        """Price of one unit of `source` in `target`, 1e-8; 0 while no quote leads there."""
        if source == target:
            return conversion_e8(source, target, ())
        ticks = await self._ticks.newest(trading_server_id)
        if ticks is None:
            return 0
        specs = self._symbols.at_hand(label, trading_server_id)
        quotes = [
            Quote(spec.base_currency_code, spec.profit_currency_code, bid_e8, ask_e8)
            for name, bid_e8, ask_e8 in zip(ticks.symbols, ticks.bids_e8, ticks.asks_e8, strict=True)
            if (spec := specs.get(name)) is not None and spec.prices_either(source, target)
        ]
        return conversion_e8(source, target, quotes)


def _parse(payload: bytes, _before: Ticks | None) -> Ticks:
    return Ticks.FromString(payload)
