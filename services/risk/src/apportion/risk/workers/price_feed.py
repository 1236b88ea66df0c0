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
        known = self._known_at(observed_time)
        return () if known is None else known.prices

    def lag_ms(self, snapshot: Snapshot) -> int:
        """How much older, by the server's clock, the newest price is than the snapshot; 0 while none is known."""
        known = self._known_at(snapshot.observed_time)
        if known is None or not known.server_time_ms:
            return 0
        return max(snapshot.server_time_ms - known.server_time_ms, 0)

    def _known_at(self, observed_time: datetime) -> PriceList | None:
        """Each list of prices is parsed once."""
        latest = self._weather.latest()
        if latest is not None and latest[0] != self._version:
            self._version, payload = latest
            try:
                self._known = parse_ticks_weather(payload)
            except DomainError as error:
                self._known = None
                log.error("ticks_unreadable", trading_server_id=self._server, error=str(error))
        if (
            self._known is None
            or abs((self._known.observed_time - observed_time).total_seconds()) > self._apart_seconds
        ):
            return None
        return self._known
