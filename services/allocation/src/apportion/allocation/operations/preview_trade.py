"""What a trade of a master would give now, without any effect."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation, MasterTrade
from apportion.allocation.domain.child_routes import routes_of_set
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.opening import decide_open
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.allocation.operations.decide_open_trade import columns_of, opened_allocation
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.gather_inputs import StoredInputs, asks_database, load_stored, put_together
from apportion.allocation.operations.get_allocation import ChildPage, page_of
from apportion.allocation.operations.prepare_trade import prepare_trade
from apportion.allocation.storage.masters import load_master, read_master
from apportion.storage import transaction


async def preview_trade(
    engine: AsyncEngine, desk: Desk, label: int, master_id: int, trade: MasterTrade, *, limit: int, now: datetime
) -> tuple[Allocation, ChildPage | None]:
    """The decision as `allocate_trade` would make it, and its first `limit` children (0: none).

    Nothing of it is stored, but the set of subscriptions that the next decision needs anyway. A master whose followers
    have nothing to divide by gives a decision without children. Raises NotFound, SymbolUnknown or VolumeStep.
    """
    opening = await prepare_trade(engine, desk, label, master_id, trade, now=now)
    master, subscriptions = await _subscribed(engine, desk, label, master_id)
    stored = StoredInputs()
    if asks_database(master, subscriptions):
        async with transaction(engine) as tx:
            stored = await load_stored(tx, master, subscriptions, trade, now)
    inputs = await put_together(desk, master, subscriptions, opening, stored, now)
    decision = decide_open(inputs)
    columns = columns_of(inputs, decision, master.allocation_mode)
    allocation = opened_allocation(0, master, opening, inputs, columns, now, now)
    if not limit:
        return allocation, None
    routes = routes_of_set(subscriptions, trade.symbol, buys=trade.volume_e8 > 0)
    return allocation, page_of(routes, columns, slice(limit))


async def _subscribed(engine: AsyncEngine, desk: Desk, label: int, master_id: int) -> tuple[Master, SubscriptionSet]:
    """The master and his subscriptions. Nothing is locked, which would cost a write to disk, where the set is kept."""
    master = await read_master(engine, label, master_id)
    kept = desk.kept_subscriptions(master)
    if kept is not None:
        return master, kept
    async with transaction(engine) as tx:
        master = await load_master(tx, label, master_id, lock="share")
        subscriptions = await desk.subscriptions(tx, master)
    desk.remember(subscriptions)
    return master, subscriptions
