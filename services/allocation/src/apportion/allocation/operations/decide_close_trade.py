"""Decide and store how much of each child follows when a master closes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import structlog
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import (
    Allocation,
    AllocationColumns,
    AllocationKind,
    DispatchState,
    MasterTrade,
    is_same_deal,
)
from apportion.allocation.domain.child_trades import opening_ids_of
from apportion.allocation.domain.closing import CloseInputs, decide_close
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.methods import AllocationMode
from apportion.allocation.errors import DealConflict
from apportion.allocation.operations.close_records import close_records
from apportion.allocation.operations.project_children import project_allocation
from apportion.allocation.operations.store_decision import store_decision
from apportion.allocation.storage.allocations import (
    AllocationIds,
    find_allocation,
    find_opening,
    list_unprojected_of,
    list_unprojected_of_master,
    load_allocation,
    next_wave,
)
from apportion.allocation.storage.child_trades import (
    FollowingChildren,
    add_closing,
    load_excess,
    load_following,
    load_routes,
    retarget,
)
from apportion.allocation.storage.master_positions import load_position
from apportion.allocation.storage.net_deals import list_netting_accounts
from apportion.money import Int64Array

log = structlog.get_logger()

NO_FLAGS: NDArray[np.bool_] = np.empty(0, dtype=np.bool_)


async def decide_close_trade(
    tx: AsyncConnection, ids: AllocationIds, master: Master, trade: MasterTrade, *, now: datetime
) -> Allocation | None:
    """The stored decision on a closing deal; None when the position was never allocated, or the deal is known.

    The stored openings decide who is concerned and by which method; active or halted does not matter. Children whose
    open order has no result yet get a lower target: what fills above it is closed by `follow_up_closes`.
    Raises DealConflict for a known deal with other figures.
    """
    position = await load_position(tx, master.master_id, trade.position_ticket)
    known = await find_allocation(tx, master.master_id, trade.deal_ticket, AllocationKind.CLOSE)
    if known is not None:
        if not is_same_deal(known.trade, trade) or known.trade.volume_e8 != trade.volume_e8:
            raise DealConflict(deal_ticket=trade.deal_ticket, allocation_id=known.allocation_id)
        return None
    opening = await find_opening(tx, master.master_id, trade.position_ticket)
    if opening is None or position.open_volume_e8 == 0:
        _note_money(master, trade)
        return None
    for allocation_id in await _unprojected(tx, master, trade.position_ticket):
        await project_allocation(tx, master.label, allocation_id, now=now)
    if opening.mode is AllocationMode.PROFIT:
        return await close_records(tx, ids, master, opening, position, trade, now=now)
    change_e8 = position.change_by_close_e8(trade.volume_e8)
    before_e8 = abs(position.open_volume_e8)
    children = await load_following(tx, master.master_id, trade.position_ticket)
    routes = await load_routes(tx, children.child_trade_ids)
    small_rests = np.array([profile.close_small_rest for profile in routes.profiles], dtype=np.bool_)
    inputs = CloseInputs(
        method=opening.method,
        grid=opening.grid,
        closed_e8=abs(change_e8),
        before_e8=before_e8,
        open_volumes_e8=children.volumes_e8,
        close_small_rests=small_rests[routes.profile_rows] if small_rests.any() else small_rests[:0],
    )
    closing_e8 = decide_close(inputs)
    ordered_e8 = np.where(children.position_tickets != 0, closing_e8, 0)
    await retarget(tx, children.child_trade_ids, children.volumes_e8 - closing_e8, ordered_e8)
    allocation = _header(await ids.next(tx), opening, trade, 0, before_e8, children, closing_e8, now=now)
    columns = _columns(children, closing_e8, inputs.close_small_rests)
    await store_decision(tx, master, allocation, columns, routes, position_change_e8=change_e8)
    return allocation


async def _unprojected(tx: AsyncConnection, master: Master, position_ticket: int) -> list[int]:
    """The openings whose rows a close needs: on netting accounts those of other positions, too, which may stand against
    the one that closes.
    """
    if await list_netting_accounts(tx, master.master_id):
        return await list_unprojected_of_master(tx, master.master_id)
    return await list_unprojected_of(tx, master.master_id, position_ticket)


def _note_money(master: Master, trade: MasterTrade) -> None:
    """Logs profit of a position from before he became a master: nobody holds records of it, it stays his own."""
    if master.allocation_mode is AllocationMode.PROFIT and not trade.money.is_nothing:
        log.warning(
            "profit_of_unknown_position",
            label=master.label,
            master_id=master.master_id,
            position_ticket=trade.position_ticket,
            deal_ticket=trade.deal_ticket,
            amount_minor=trade.money.total_minor,
        )


async def follow_up_closes(
    tx: AsyncConnection, master: Master, position_ticket: int, *, now: datetime
) -> list[Allocation]:
    """Further closes of children that have more open than they should: filled after the master closed, or their
    close was refused. After a reversal those that followed him in one direction and in the other are two decisions.
    """
    position = await load_position(tx, master.master_id, position_ticket)
    excess = await load_excess(tx, master.master_id, position_ticket)
    opening_ids = opening_ids_of(excess.child_trade_ids)
    openings = [await load_allocation(tx, master.label, opening_id) for opening_id in np.unique(opening_ids).tolist()]
    decisions = []
    for buys in (True, False):
        of_book = [opening for opening in openings if (opening.trade.volume_e8 > 0) is buys]
        if of_book:
            rows = np.flatnonzero(np.isin(opening_ids, [opening.allocation_id for opening in of_book]))
            deal_ticket = position.last_closing_deal_ticket or of_book[-1].trade.deal_ticket
            decisions.append(await _close_excess(tx, master, of_book[-1], deal_ticket, excess.of(rows), now=now))
    return decisions


async def _close_excess(
    tx: AsyncConnection,
    master: Master,
    opening: Allocation,
    deal_ticket: int,
    children: FollowingChildren,
    *,
    now: datetime,
) -> Allocation:
    excess_e8 = int(children.volumes_e8.sum())
    trade = replace(
        opening.trade,
        deal_ticket=deal_ticket,
        volume_e8=-excess_e8 if opening.trade.volume_e8 > 0 else excess_e8,
        price_e8=0,
        server_time_ms=0,
    )
    wave = await next_wave(tx, master.master_id, deal_ticket, AllocationKind.CLOSE)
    await add_closing(tx, children.child_trade_ids, children.volumes_e8)
    allocation_id = await AllocationIds().next(tx)
    allocation = _header(allocation_id, opening, trade, wave, excess_e8, children, children.volumes_e8, now=now)
    routes = await load_routes(tx, children.child_trade_ids)
    columns = _columns(children, children.volumes_e8, NO_FLAGS)
    await store_decision(tx, master, allocation, columns, routes, position_change_e8=None)
    return allocation


def _header(
    allocation_id: int,
    opening: Allocation,
    trade: MasterTrade,
    wave: int,
    before_e8: int,
    children: FollowingChildren,
    closing_e8: Int64Array,
    *,
    now: datetime,
) -> Allocation:
    child_count = int(np.count_nonzero(closing_e8))
    to_send = bool(((closing_e8 > 0) & (children.position_tickets != 0)).any())
    sign = 1 if trade.volume_e8 > 0 else -1
    return replace(
        opening,
        allocation_id=allocation_id,
        kind=AllocationKind.CLOSE,
        trade=trade,
        wave=wave,
        before_volume_e8=before_e8,
        master_basis=0,
        row_count=int(closing_e8.size),
        child_count=child_count,
        skipped_count=int(closing_e8.size) - child_count,
        volume_sum_e8=sign * int(closing_e8.sum()),
        decide_time=now,
        not_after_time=None,
        dispatch_state=DispatchState.PENDING if to_send else DispatchState.DONE,
        dispatch_time=None if to_send else now,
        subscription_id=0,
    )


def _columns(
    children: FollowingChildren, closing_e8: Int64Array, close_small_rests: NDArray[np.bool_]
) -> AllocationColumns:
    return AllocationColumns(
        volumes_e8=closing_e8,
        reasons=np.zeros(closing_e8.shape, dtype=np.int8),
        bases=children.volumes_e8,
        child_trade_ids=children.child_trade_ids,
        position_tickets=children.position_tickets,
        close_small_rests=close_small_rests,
    )
