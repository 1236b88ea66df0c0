"""What events should have told and did not: asked for again, and booked as if an event had told it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Protocol
from uuid import NAMESPACE_URL, uuid5

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.operations.dispatch_allocation import source_of
from apportion.allocation.wire.events import DEALS, ORDERS
from apportion.api.platform_groups.v1 import events_pb2, trading_pb2
from apportion.events import Handler, Preparation, ReceivedEvent
from apportion.runtime import Clock
from apportion.storage import transaction
from apportion.storage.leases import Lease, check_fence

MOST_POSITIONS = 500
"""Whose deals are booked in one transaction."""


class Facts(Protocol):
    """What the events of platform-groups have told, asked for again."""

    async def deals(
        self, label: int, account_ids: Sequence[int], position_tickets: Sequence[int], since_time: datetime | None
    ) -> events_pb2.DealsObserved: ...

    def orders(self, label: int, source_id: str) -> AsyncIterator[trading_pb2.OrderColumns]: ...


@dataclass(frozen=True, slots=True)
class Retold:
    """Asks platform-groups what its events have told, and hands it to the handlers of those events."""

    engine: AsyncEngine
    facts: Facts
    handlers: Mapping[str, Handler]
    preparations: Mapping[str, Preparation]
    clock: Clock

    async def deals(
        self,
        lease: Lease,
        label: int,
        account_ids: Sequence[int],
        position_tickets: Sequence[int],
        since_time: datetime | None,
    ) -> None:
        """In parts, each in one transaction. Raises DomainError, StaleEpoch."""
        for first in range(0, len(account_ids), MOST_POSITIONS):
            part = slice(first, first + MOST_POSITIONS)
            told = await self.facts.deals(label, account_ids[part], position_tickets[part], since_time)
            if told.deal_tickets:
                await self._book(lease, label, DEALS, told.SerializeToString())

    async def orders(self, lease: Lease, label: int, allocation_id: int) -> None:
        """Page by page, each in one transaction. Raises DomainError, StaleEpoch."""
        source_id = source_of(allocation_id)
        async for orders in self.facts.orders(label, source_id):
            told = events_pb2.OrdersUpdated(source_id=source_id, purpose=trading_pb2.ORDER_PURPOSE_OPEN, orders=orders)
            await self._book(lease, label, ORDERS, told.SerializeToString())

    async def _book(self, lease: Lease, label: int, message_type: str, payload: bytes) -> None:
        """As an event without a number: the numbered ones come as if nothing had been asked."""
        now = self.clock.now()
        digest = sha256(payload).hexdigest()
        event_id = uuid5(NAMESPACE_URL, f"apportion/retold/{lease.key}/{lease.epoch}/{now.isoformat()}/{digest}")
        event = ReceivedEvent(str(event_id), label, "retold", lease.key, 0, message_type, now, 0, payload)
        if message_type in self.preparations:
            await self.preparations[message_type](event)
        async with transaction(self.engine) as tx:
            await check_fence(tx, lease)
            after_commit = await self.handlers[message_type](tx, event)
        if after_commit is not None:
            await after_commit()
