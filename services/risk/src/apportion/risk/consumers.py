"""What this service does when others tell it something."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.events import Handler, ReceivedEvent
from apportion.risk.operations.record_deals import record_deals
from apportion.risk.wire import parse_deals


async def deals_observed(tx: AsyncConnection, event: ReceivedEvent) -> None:
    """Deposits, withdrawals and closed trades go into the books of the accounts that have a limit."""
    await record_deals(tx, event.label, parse_deals(event.payload))


HANDLERS: Mapping[str, Handler] = {"apportion.api.platform_groups.v1.DealsObserved": deals_observed}
