"""What this service does when platform-groups tells it something."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.allocations import Allocation
from apportion.allocation.domain.child_orders import ChildOrders, child_orders
from apportion.allocation.domain.position_keys import PositionKey
from apportion.allocation.errors import SymbolUnknown
from apportion.allocation.operations.apply_child_deals import apply_child_deals
from apportion.allocation.operations.apply_net_deals import apply_net_deals
from apportion.allocation.operations.apply_order_results import apply_order_results
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.follow_master_deals import Followed, follow_master_deals
from apportion.allocation.operations.follow_up_positions import close_excess
from apportion.allocation.operations.modify_stops import change_stops
from apportion.allocation.operations.record_deals import record_deals, record_transfers
from apportion.allocation.storage.masters import load_deciding_of_accounts
from apportion.allocation.storage.net_deals import load_netting_accounts
from apportion.allocation.wire.events import (
    DEALS,
    ORDERS,
    STOPS,
    ObservedDeals,
    closing_deals,
    master_deals,
    net_deals,
    opened_symbols,
    parse_deals,
    parse_order_results,
    parse_stops,
)
from apportion.allocation.wire.history import parse_account_deals, parse_transfers
from apportion.events import AfterCommit, Handler, Preparation, ReceivedEvent, set_aside
from apportion.payments import TRANSFERS_UPDATED
from apportion.runtime import Clock

Dispatch = Callable[[Iterable[Allocation], Mapping[int, ChildOrders]], None]


@dataclass(frozen=True, slots=True)
class Decider:
    """Decides on what masters do, and books what became of it."""

    desk: Desk
    clock: Clock
    dispatch: Dispatch
    """Called after the commit with the decisions, and, by allocation, with orders that are still in memory."""

    async def deals_observed(self, tx: AsyncConnection, event: ReceivedEvent) -> AfterCommit | None:
        deals = parse_deals(event.payload)
        if not deals.rows.size:
            return None
        account_ids = np.unique(deals.account_ids).tolist()
        masters, ids = await load_deciding_of_accounts(tx, event.label, account_ids)
        followed = Followed()
        for account_id, master in masters.items():
            done = await follow_master_deals(
                tx,
                self.desk,
                ids,
                master,
                master_deals(deals, account_id),
                observed=deals.observation,
                now=self.clock.now(),
            )
            followed.allocations += done.allocations
            followed.opened += done.opened
            for conflict in done.conflicts:
                part = f"deal {conflict.metadata['dealTicket']} of account {account_id}"
                await set_aside(tx, event, part=part, error=conflict, now=self.clock.now())
        late = await self._book_followers(tx, event, deals, masters)
        return self._after_commit(followed, tx.engine, late)

    async def _book_followers(
        self, tx: AsyncConnection, event: ReceivedEvent, deals: ObservedDeals, masters: Iterable[int]
    ) -> Sequence[PositionKey]:
        """Books the deals of all accounts but the masters'. Returns what `apply_net_deals` returns."""
        account_ids = np.setdiff1d(deals.account_ids, list(masters)).tolist()
        if not account_ids:
            return ()
        netting = await load_netting_accounts(tx, event.label, account_ids)
        closing = closing_deals(deals, [*masters, *netting])
        if closing is not None:
            await apply_child_deals(tx, event, closing, now=self.clock.now())
        if not netting:
            return ()
        of_them = net_deals(deals, netting)
        return await apply_net_deals(tx, event, of_them, netting, deals.observation, now=self.clock.now())

    async def stops_observed(self, tx: AsyncConnection, event: ReceivedEvent) -> AfterCommit | None:
        changed = parse_stops(event.payload)
        masters, _ = await load_deciding_of_accounts(tx, event.label, {stops.account_id for stops in changed})
        decided = [
            await change_stops(
                tx,
                masters[stops.account_id],
                stops.position_ticket,
                stops.stop_loss_e8,
                stops.take_profit_e8,
                now=self.clock.now(),
            )
            for stops in sorted(changed, key=lambda stops: (stops.account_id, stops.position_ticket))
            if stops.account_id in masters
        ]
        return self._after_commit(Followed([allocation for allocation in decided if allocation is not None]), tx.engine)

    async def orders_updated(self, tx: AsyncConnection, event: ReceivedEvent) -> AfterCommit | None:
        parsed = parse_order_results(event.payload)
        if parsed is None:
            return None
        return self._after_commit(
            Followed(
                await apply_order_results(tx, event, *parsed, retries=self.desk.limits.retries, now=self.clock.now())
            ),
            tx.engine,
        )

    def _after_commit(self, followed: Followed, engine: AsyncEngine, late: Sequence[PositionKey] = ()) -> AfterCommit:
        """Keeps the sets that were decided with, sends the orders, and closes what was filled too late."""

        async def hook() -> None:
            orders = {}
            for opened in followed.opened:
                allocation, fresh = opened.allocation, opened.fresh
                if fresh is not None:
                    self.desk.remember(fresh.subscriptions)
                    orders[allocation.allocation_id] = child_orders(allocation, fresh.columns, fresh.routes)
            self.dispatch(followed.allocations, orders)
            if late:
                self.dispatch(await close_excess(engine, late, now=self.clock.now()), {})

        return hook


def handlers(desk: Desk, clock: Clock, dispatch: Dispatch) -> Mapping[str, Handler]:
    """By the name of the payload message."""
    decider = Decider(desk, clock, dispatch)
    return {DEALS: decider.deals_observed, STOPS: decider.stops_observed, ORDERS: decider.orders_updated}


def preparations(desk: Desk, clock: Clock) -> Mapping[str, Preparation]:
    """By the name of the payload message: what is asked of others before a transaction locks masters."""

    async def deals_observed(event: ReceivedEvent) -> None:
        server_id, symbols = opened_symbols(event.payload)
        for symbol in symbols:
            with suppress(SymbolUnknown):  # leaves everybody out when it is the master's
                await desk.symbols.spec(event.label, server_id, symbol)
        if symbols:
            await desk.hear(event.label, server_id, clock.now())

    return {DEALS: deals_observed}


async def _keep_deals(tx: AsyncConnection, event: ReceivedEvent) -> None:
    await record_deals(tx, event.label, parse_account_deals(event.payload))


async def _keep_transfers(tx: AsyncConnection, event: ReceivedEvent) -> None:
    await record_transfers(tx, event.label, *parse_transfers(event.payload))


HISTORY_HANDLERS: Mapping[str, Handler] = {DEALS: _keep_deals, TRANSFERS_UPDATED: _keep_transfers}
"""Of a consumer of its own, so that no decision waits for the history."""
