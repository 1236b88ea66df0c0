"""The newest prices of one trading server, for the evidence of a trip."""

from __future__ import annotations

from datetime import datetime

import structlog

from apportion.errors import DomainError
from apportion.events import WeatherCell
from apportion.risk.domain.trips import Price
from apportion.risk.wire import parse_ticks_weather

log = structlog.get_logger()


class PriceFeed:
    """Weather only: while it is not heard there are no prices, rather than old ones."""

    def __init__(self, weather: WeatherCell, *, trading_server_id: int, apart_seconds: float) -> None:
        self._weather = weather
        self._server = trading_server_id
        self._apart_seconds = apart_seconds

    async def run(self) -> None:
        """For ever."""
        await self._weather.run()

    def prices_at(self, observed_time: datetime) -> tuple[Price, ...]:
        """Those read within `apart_seconds` of then."""
        latest = self._weather.latest()
        if latest is None:
            return ()
        try:
            known = parse_ticks_weather(latest[1])
        except DomainError as error:
            log.error("ticks_unreadable", trading_server_id=self._server, error=str(error))
            return ()
        apart_seconds = abs((known.observed_time - observed_time).total_seconds())
        return known.prices if apart_seconds <= self._apart_seconds else ()
