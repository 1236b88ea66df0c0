"""Close artificial records when their pooled master closes: distribute what the deal brought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import (
    Allocation,
    AllocationColumns,
    AllocationKind,
    DispatchState,
    MasterTrade,
)
from apportion.allocation.domain.distributions import Records, closed_volumes_e8, split_volume_e8
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.open_inputs import NO_COLUMN, NO_REASONS
from apportion.allocation.operations.announce_closes import announce_columns
from apportion.allocation.operations.distribute_deal import distribute_deal
from apportion.allocation.operations.event_payloads import decided_id
from apportion.allocation.operations.store_decision import store_decision
from apportion.allocation.storage.allocations import AllocationIds
from apportion.allocation.storage.child_trades import load_routes
from apportion.allocation.storage.master_positions import MasterPosition
from apportion.allocation.storage.record_openings import load_open_records, reduce_openings
from apportion.money import Int64Array

NO_ROWS = AllocationColumns(NO_COLUMN, NO_REASONS, NO_COLUMN, NO_COLUMN, NO_COLUMN)


async def close_records(
    tx: AsyncConnection,
    ids: AllocationIds,
    master: Master,
    opening: Allocation,
    position: MasterPosition,
    trade: MasterTrade,
    *,
    now: datetime,
) -> Allocation:
    """The stored decision on a closing deal, which has no rows, and the distribution of the deal's money.

    All openings that made the position take part by what is open of them. The position is locked and open, the rows
    of its records are made. Who is active, halted or leaving does not matter.
    """
    change_e8 = position.change_by_close_e8(trade.volume_e8)
    closed_e8 = abs(change_e8)
    allocation = replace(
        opening,
        allocation_id=await ids.next(tx),
        kind=AllocationKind.CLOSE,
        trade=trade,
        before_volume_e8=abs(position.open_volume_e8),
        master_basis=0,
        row_count=0,
        child_count=0,
        skipped_count=0,
        volume_sum_e8=0,
        decide_time=now,
        not_after_time=None,
        dispatch_state=DispatchState.DONE,
        dispatch_time=now,
    )
    routes = await load_routes(tx, NO_COLUMN)
    await store_decision(tx, master, allocation, NO_ROWS, routes, position_change_e8=change_e8)
    openings = await load_open_records(tx, master.label, master.master_id, trade.position_ticket)
    await distribute_deal(tx, master, allocation, openings, trade.money, closed_e8=closed_e8, now=now)
    parts_e8 = split_volume_e8(closed_e8, openings)
    rests_e8 = np.array([records.open_volume_e8 for records in openings]) - parts_e8
    opening_ids = [records.allocation_id for records in openings]
    await reduce_openings(tx, master.master_id, trade.position_ticket, opening_ids, rests_e8)
    closes = _virtual_closes(trade, openings, parts_e8)
    await announce_columns(tx, master, decided_id(allocation.allocation_id), trade.symbol, closes, now=now)
    return allocation


def _virtual_closes(trade: MasterTrade, openings: Sequence[Records], parts_e8: Int64Array) -> dict[str, Int64Array]:
    """What is closed of each record, in columns: by the master's own deal."""
    parts = zip(openings, parts_e8.tolist(), strict=True)
    volumes_e8 = np.concatenate([NO_COLUMN, *(closed_volumes_e8(part_e8, records) for records, part_e8 in parts)])
    rows = np.flatnonzero(volumes_e8)

    def column(name: str) -> Int64Array:
        return np.concatenate([NO_COLUMN, *(getattr(records, name) for records in openings)])[rows]

    return {
        "child_trade_ids": column("child_trade_ids"),
        "subscription_ids": column("subscription_ids"),
        "account_ids": column("account_ids"),
        "deal_tickets": np.full(rows.size, trade.deal_ticket),
        "closed_volumes_e8": volumes_e8[rows],
        "prices_e8": np.full(rows.size, trade.price_e8),
        "server_times_ms": np.full(rows.size, trade.server_time_ms),
    }
