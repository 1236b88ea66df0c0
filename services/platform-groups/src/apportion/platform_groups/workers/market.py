"""The prices that opens with a slippage limit are held against, right before they are sent."""

from __future__ import annotations

import structlog

from apportion.platform_groups.domain.orders import NO_PRICE, SentOrder, slippage_refusal
from apportion.platform_groups.domain.server_facts import ServerFailure, ServerTick
from apportion.platform_groups.operations.ports import DealerSession
from apportion.runtime import Clock

log = structlog.get_logger()

FRESH_SECONDS = 0.5


class Market:
    """Prices of the symbols of one batch of orders, asked of the server itself and again when they grow old."""

    def __init__(self, session: DealerSession, clock: Clock, symbols: set[str]) -> None:
        self._session = session
        self._clock = clock
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
        return NO_PRICE if tick is None else slippage_refusal(order, tick.bid_e8, tick.ask_e8)

    async def _ask(self) -> None:
        self._asked_at = self._clock.monotonic()
        try:
            self._ticks = await self._session.prices(self._symbols)
        except ServerFailure as error:
            log.warning("prices_unread", symbols=self._symbols, cause=str(error))
            self._ticks = {}
