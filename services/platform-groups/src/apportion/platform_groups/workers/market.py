"""The prices that opens with a slippage limit are held against, right before they are sent."""

from __future__ import annotations

import structlog

from apportion.platform_groups.domain.orders import NO_PRICE, SentOrder, slippage_refusal
from apportion.platform_groups.domain.server_facts import ServerFailure, ServerTick
from apportion.platform_groups.operations.ports import DealerSession
from apportion.platform_groups.workers.server_clock import ServerClock
from apportion.runtime import Clock

log = structlog.get_logger()

FRESH_SECONDS = 0.5


class Market:
    """Prices of the symbols of one batch of orders, asked of the server itself and again when they grow old.

    A price that the server itself got more than `price_age_seconds` ago counts as none: its feed may stand still.
    """

    def __init__(
        self,
        session: DealerSession,
        server_clock: ServerClock,
        clock: Clock,
        symbols: set[str],
        *,
        price_age_seconds: float,
    ) -> None:
        self._session = session
        self._server_clock = server_clock
        self._clock = clock
        self._price_age_ms = int(price_age_seconds * 1000)
        self._oldest_ms = 0
        self._symbols = sorted(symbols)
        self._ticks: dict[str, ServerTick] = {}
        self._asked_at = clock.monotonic() - FRESH_SECONDS

    @property
    def is_old(self) -> bool:
        return self._clock.monotonic() - self._asked_at >= FRESH_SECONDS

    async def refusal(self, order: SentOrder) -> str:
        """Why the order may not be sent; "" when it may, as one without a limit always may."""
        if not order.reference_price_e8:
            return ""
        if self.is_old:
            await self._ask()
        tick = self._ticks.get(order.symbol)
        if tick is None or tick.server_time_ms < self._oldest_ms:
            return NO_PRICE
        return slippage_refusal(order, tick.bid_e8, tick.ask_e8)

    async def _ask(self) -> None:
        self._asked_at = self._clock.monotonic()
        try:
            self._oldest_ms = await self._server_clock.now_ms() - self._price_age_ms
            self._ticks = await self._session.prices(self._symbols)
        except ServerFailure as error:
            log.warning("prices_unread", symbols=self._symbols, cause=str(error))
            self._ticks = {}
