"""Book all trades on netting accounts: each child's fills and closes, and what others did to them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import numpy as np
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.child_trades import ChildTradeState, child_trade_ids, opening_ids_of
from apportion.allocation.domain.closed_parts import ClosedPart
from apportion.allocation.domain.master_deals import Observation
from apportion.allocation.domain.netting import NOBODY, NetBook, NetChild, NetDeal
from apportion.allocation.domain.position_keys import PositionKey
from apportion.allocation.operations.announce_closes import announce_closes
from apportion.allocation.operations.project_children import project_allocation
from apportion.allocation.storage.allocations import load_columns
from apportion.allocation.storage.net_deals import (
    Booked,
    NetRow,
    find_known,
    list_late,
    load_net_children,
    load_nobodys_e8,
    save_net_deals,
)
from apportion.events import ReceivedEvent

log = structlog.get_logger()


async def apply_net_deals(
    tx: AsyncConnection,
    event: ReceivedEvent,
    deals: Sequence[NetDeal],
    begin_times: Mapping[int, datetime],
    observed: Observation,
    *,
    now: datetime,
) -> list[PositionKey]:
    """Each deal is booked once, in ticket order, and what it closed of children is announced once.

    `begin_times`: since when each account follows anybody. Earlier deals of its owner are not in the books.
    Returns the master positions with something to close once this is committed: a child was filled after its master
    had closed, or a close did too much.
    """
    opening_ids = opening_ids_of(np.array([deal.child_trade_id for deal in deals if deal.opens], dtype=np.int64))
    for allocation_id in np.unique(opening_ids).tolist():
        await project_allocation(tx, event.label, allocation_id, now=now)
    known = await find_known(tx, deals)
    fresh = [
        deal
        for deal in sorted(deals, key=lambda deal: deal.deal_ticket)
        if (deal.account_id, deal.deal_ticket) not in known
        and (deal.child_trade_id != NOBODY or observed.time_of(deal.server_time_ms) >= begin_times[deal.account_id])
    ]
    if not fresh:
        return []
    account_ids = sorted({deal.account_id for deal in fresh})
    child_ids = sorted({deal.child_trade_id for deal in fresh} - {NOBODY})
    rows = await load_net_children(tx, event.label, account_ids, child_ids)
    books = _books(rows, await load_nobodys_e8(tx, account_ids))
    booked = []
    for deal in fresh:
        book = books[deal.account_id, deal.symbol]
        known_by = replace(deal, excess_id=await _excess_id(tx, deal)) if book.has_excess(deal) else deal
        booked += [Booked(known_by, part) for part in book.book(known_by)]
    await save_net_deals(tx, event.label, rows, booked, now=now)
    _log_excess(booked)
    await announce_closes(tx, event.label, UUID(event.event_id), _closed(rows, booked), now=now)
    return await list_late(tx, booked)


def _books(rows: Sequence[NetRow], nobodys_e8: Mapping[tuple[int, str], int]) -> dict[tuple[int, str], NetBook]:
    children: dict[tuple[int, str], list[NetChild]] = defaultdict(list)
    for row in rows:
        children[row.account_id, row.symbol].append(NetChild(row.child_trade_id, row.direction, row.open_volume_e8))
    books: dict[tuple[int, str], NetBook] = defaultdict(NetBook)
    for key in children.keys() | nobodys_e8.keys():
        books[key] = NetBook.of(children[key], nobodys_e8.get(key, 0))
    return books


async def _excess_id(tx: AsyncConnection, deal: NetDeal) -> int:
    """Computed as children's ids are, of the close and the child's row in it: a close has opened no other child."""
    columns = await load_columns(tx, deal.allocation_id)
    rows = np.flatnonzero(columns.child_trade_ids == deal.child_trade_id)
    return int(child_trade_ids(deal.allocation_id, rows)[0])


def _log_excess(booked: Sequence[Booked]) -> None:
    for each in booked:
        if each.is_excess:
            log.warning(
                "closed_too_much",
                account_id=each.deal.account_id,
                deal_ticket=each.deal.deal_ticket,
                child_trade_id=each.deal.child_trade_id,
                excess_id=each.deal.excess_id,
                volume_e8=each.part.volume_e8,
            )


def _closed(rows: Sequence[NetRow], booked: Sequence[Booked]) -> list[ClosedPart]:
    """To be announced. A detached child is its investor's own; for what was too much nobody pays."""
    row_of = {row.child_trade_id: row for row in rows if row.state != ChildTradeState.DETACHED and not row.is_excess}
    return [
        ClosedPart(
            master_id=child.master_id,
            symbol=each.deal.symbol,
            child_trade_id=child.child_trade_id,
            subscription_id=child.subscription_id,
            account_id=each.deal.account_id,
            deal_ticket=each.deal.deal_ticket,
            volume_e8=abs(each.part.volume_e8),
            price_e8=each.deal.price_e8,
            server_time_ms=each.deal.server_time_ms,
        )
        for each in booked
        if each.closes and (child := row_of.get(each.part.child_trade_id)) is not None
    ]
