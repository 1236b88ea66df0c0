"""What has stopped opens since they were taken for sending: the kill switch, a halt, a read-only account."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError
from apportion.platform_groups.domain.orders import SentOrder
from apportion.platform_groups.domain.states import OrderPurpose
from apportion.platform_groups.storage.orders import read_stopped
from apportion.runtime import Clock

log = structlog.get_logger()

FRESH_SECONDS = 0.5
"""How old what was seen may be when an open goes out: only a slow server has one looked at twice."""


class Brakes:
    """Of one batch of orders, none of which was stopped when it was taken, at `taken_at` (monotonic)."""

    def __init__(self, engine: AsyncEngine, clock: Clock, orders: Sequence[SentOrder], *, taken_at: float) -> None:
        self._engine = engine
        self._clock = clock
        self._open_ids = [order.order_id for order in orders if order.purpose is OrderPurpose.OPEN]
        self._seen_at = taken_at
        self._stopped: set[int] = set()

    def is_old(self, order: SentOrder) -> bool:
        """Closes and modifications are never stopped."""
        return order.purpose is OrderPurpose.OPEN and self._clock.monotonic() - self._seen_at >= FRESH_SECONDS

    async def hold(self, order: SentOrder) -> bool:
        """Whether the order must not be sent. Looks again where what was seen is old, and sends nothing unseen."""
        if self.is_old(order):
            seen_at = self._clock.monotonic()
            try:
                self._stopped = await read_stopped(self._engine, self._open_ids)
            except DomainError as error:
                log.warning("stopped_orders_unread", cause=str(error))
                return True
            self._seen_at = seen_at
        return order.order_id in self._stopped
