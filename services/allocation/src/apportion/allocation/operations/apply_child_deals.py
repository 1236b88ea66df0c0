"""Book closing deals on investment accounts: our own closes, and those of investors, stops and stop-outs."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.operations.announce_closes import announce_closes
from apportion.allocation.storage.closing_deals import ClosingDeals, keep_deals, match_deals
from apportion.events import ReceivedEvent


async def apply_child_deals(tx: AsyncConnection, event: ReceivedEvent, deals: ClosingDeals, *, now: datetime) -> None:
    """Each deal reduces what its child has open once, whoever caused it, and is announced once.

    A deal on a position that is not known to be a child's waits for the result of the child's open order.
    """
    positions = await keep_deals(tx, event.label, deals)
    await announce_closes(tx, event.label, UUID(event.event_id), await match_deals(tx, event.label, positions), now=now)
