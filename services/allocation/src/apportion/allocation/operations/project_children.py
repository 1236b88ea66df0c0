"""Make the child trade rows of opening decisions: behind the hot path, or forced before they are needed."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.allocations import Allocation
from apportion.allocation.domain.child_trades import ChildTradeState, child_trade_ids
from apportion.allocation.domain.methods import AllocationMode
from apportion.allocation.domain.pl_mode import virtual_volumes_e8
from apportion.allocation.storage import tables
from apportion.allocation.storage.allocations import claim_projection, list_unprojected, load_allocation, load_columns
from apportion.allocation.storage.masters import load_master
from apportion.allocation.storage.net_deals import list_netting_accounts
from apportion.allocation.storage.subscription_sets import load_set_of, load_set_routes
from apportion.money import Int64Array
from apportion.storage import copy_rows, transaction

BATCH = 20


async def project_children(engine: AsyncEngine, *, now: datetime) -> int:
    """Makes the rows of the oldest decisions that have none, each in a transaction of its own. Returns how many."""
    async with transaction(engine) as tx:
        waiting = await list_unprojected(tx, limit=BATCH)
    for label, allocation_id in waiting:
        async with transaction(engine) as tx:
            await project_allocation(tx, label, allocation_id, now=now)
    return len(waiting)


async def project_allocation(tx: AsyncConnection, label: int, allocation_id: int, *, now: datetime) -> None:
    """One row for each child with a volume, or for each artificial record; does nothing when they are there."""
    if not await claim_projection(tx, allocation_id, now):
        return
    allocation = await load_allocation(tx, label, allocation_id)
    columns = await load_columns(tx, allocation_id)
    if allocation.mode is AllocationMode.PROFIT:
        await _make_records(tx, allocation, columns.proportions_e9)
        return
    rows = np.flatnonzero(columns.volumes_e8)
    routes, volumes_e8 = (await load_set_routes(tx, allocation)).of(rows), columns.volumes_e8[rows]
    trade = allocation.trade
    losses, profits = routes.stops_e8(trade.stop_loss_e8, trade.take_profit_e8, buys=trade.volume_e8 > 0)
    await copy_rows(
        tx,
        tables.child_trades,
        {
            "child_trade_id": child_trade_ids(allocation_id, rows),
            "label": label,
            "allocation_id": allocation_id,
            "master_id": allocation.master_id,
            "subscription_id": routes.subscription_ids,
            "account_id": routes.account_ids,
            "symbol": routes.symbol_column,
            "master_position_ticket": trade.position_ticket,
            "state": int(ChildTradeState.PENDING),
            "reason": "",
            "direction": routes.directions,
            "volume_e8": volumes_e8,
            "target_volume_e8": volumes_e8,
            "filled_volume_e8": 0,
            "open_volume_e8": 0,
            "closing_volume_e8": 0,
            "open_price_e8": 0,
            "position_ticket": 0,
            "create_time": allocation.decide_time,
            "stop_loss_e8": losses,
            "take_profit_e8": profits,
            "skip_reason": columns.reasons[rows],
            "nets": np.isin(routes.account_ids, await list_netting_accounts(tx, allocation.master_id)),
        },
    )


async def _make_records(tx: AsyncConnection, allocation: Allocation, proportions_e9: Int64Array) -> None:
    """They are open from the decision on: there is nothing to wait for."""
    master = await load_master(tx, allocation.label, allocation.master_id)
    subscriptions, rows = await load_set_of(tx, allocation), np.flatnonzero(proportions_e9)
    trade = allocation.trade
    volumes_e8 = virtual_volumes_e8(trade.volume_e8, proportions_e9[rows])
    await copy_rows(
        tx,
        tables.child_trades,
        {
            "child_trade_id": child_trade_ids(allocation.allocation_id, rows),
            "label": allocation.label,
            "allocation_id": allocation.allocation_id,
            "master_id": allocation.master_id,
            "subscription_id": subscriptions.subscription_ids[rows],
            "account_id": subscriptions.account_ids[rows],
            "symbol": master.artificial_symbol,
            "master_position_ticket": trade.position_ticket,
            "state": int(ChildTradeState.FILLED),
            "reason": "",
            "direction": 1 if trade.volume_e8 > 0 else -1,
            "volume_e8": volumes_e8,
            "target_volume_e8": volumes_e8,
            "filled_volume_e8": volumes_e8,
            "open_volume_e8": volumes_e8,
            "closing_volume_e8": 0,
            "open_price_e8": trade.price_e8,
            "position_ticket": 0,
            "create_time": allocation.decide_time,
            "proportion_e9": proportions_e9[rows],
        },
    )
