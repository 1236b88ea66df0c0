"""The newest prices of one trading server: for the evidence of a trip, and whether the feed stands still."""

from __future__ import annotations

from datetime import datetime

import structlog

from apportion.errors import DomainError
from apportion.events import WeatherCell
from apportion.risk.domain.snapshots import Snapshot
from apportion.risk.domain.trips import Price, PriceList
from apportion.risk.wire import parse_ticks_weather

log = structlog.get_logger()


class PriceFeed:
    """Weather only: while it is not heard there are no prices, rather than old ones."""

    def __init__(self, weather: WeatherCell, *, trading_server_id: int, apart_seconds: float) -> None:
        self._weather = weather
        self._server = trading_server_id
        self._apart_seconds = apart_seconds
        self._version = -1
        self._known: PriceList | None = None

    async def run(self) -> None:
        """For ever."""
        await self._weather.run()

    def prices_at(self, observed_time: datetime) -> tuple[Price, ...]:
        """Those read within `apart_seconds` of then."""
        known = self._latest()
        if known is None:
            return ()
        apart_seconds = abs((known.observed_time - observed_time).total_seconds())
        return known.prices if apart_seconds <= self._apart_seconds else ()

    def lag_ms(self, snapshot: Snapshot) -> int:
        """How much older, by the server's clock, the newest price is than the snapshot; 0 while none is known."""
        newest = max((price.server_time_ms for price in self.prices_at(snapshot.observed_time)), default=0)
        return max(snapshot.server_time_ms - newest, 0) if newest else 0

    def _latest(self) -> PriceList | None:
        """Each list of prices is read once."""
        latest = self._weather.latest()
        if latest is not None and latest[0] != self._version:
            self._version, payload = latest
            try:
                self._known = parse_ticks_weather(payload)
            except DomainError as error:
                self._known = None
                log.error("ticks_unreadable", trading_server_id=self._server, error=str(error))
        return self._known
