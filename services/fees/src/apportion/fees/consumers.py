"""What this service does when others tell it something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.events import AfterCommit, Handler, ReceivedEvent, set_aside
from apportion.fees.errors import CloseChanged
from apportion.fees.operations.charge_closes import charge_closes
from apportion.fees.storage.charges import CHARGES
from apportion.fees.wire import parse_closed_trades
from apportion.payments import Backoff, transfer_handlers
from apportion.runtime import Clock


def handlers(clock: Clock, retry: Backoff, wake_dispatcher: Callable[[], None]) -> Mapping[str, Handler]:
    """By the name of the payload message. `wake_dispatcher` is called when charges were committed."""

    async def woken() -> None:
        wake_dispatcher()

    async def child_trades_closed(tx: AsyncConnection, event: ReceivedEvent) -> AfterCommit | None:
        closed = parse_closed_trades(event.payload)
        now = clock.now()
        charged = await charge_closes(tx, event.label, closed, closed_time=event.occurred_time, now=now)
        for booked in charged.changed:
            part = f"deal {booked.deal_ticket} of child trade {booked.child_trade_id}"
            error = CloseChanged(f"{part} was calculated on other figures", **asdict(booked))
            await set_aside(tx, event, part=part, error=error, now=now)
        return woken if charged.started_count else None

    return {
        "apportion.api.allocation.v1.ChildTradesClosed": child_trades_closed,
        **transfer_handlers(CHARGES, clock, retry),
    }
