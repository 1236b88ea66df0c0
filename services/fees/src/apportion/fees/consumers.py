"""What this service does when others tell it something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.events import AfterCommit, Handler, ReceivedEvent, set_aside
from apportion.fees.domain.charge import Backoff
from apportion.fees.errors import CloseChanged
from apportion.fees.operations.charge_closes import charge_closes
from apportion.fees.operations.settle_transfers import settle_transfers
from apportion.fees.wire import parse_closed_trades, parse_transfer_results
from apportion.runtime import Clock


def handlers(clock: Clock, outstanding: Backoff, wake_dispatcher: Callable[[], None]) -> Mapping[str, Handler]:
    """By the name of the payload message. `wake_dispatcher` is called when transfers were committed."""

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

    async def transfers_updated(tx: AsyncConnection, event: ReceivedEvent) -> AfterCommit | None:
        # The aggregate is the ordering key of our batches: a master id. Which transfers an event is about, its items
        # say; those of other sources that chose the same number are in it too, and are left out.
        results = parse_transfer_results(event.payload)
        if results:
            await settle_transfers(tx, event.label, results, now=clock.now(), backoff=outstanding)
        return None

    return {
        "apportion.api.allocation.v1.ChildTradesClosed": child_trades_closed,
        "apportion.api.platform_groups.v1.TransfersUpdated": transfers_updated,
    }
