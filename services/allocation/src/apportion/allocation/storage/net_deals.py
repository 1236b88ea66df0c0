"""Trades on netting accounts, and what they did to the children there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.netting import NOBODY, NetDeal, Part
from apportion.allocation.domain.position_keys import PositionKey
from apportion.allocation.storage.child_trades import OrderResults, apply_open_results
from apportion.storage import fetch_arrays

REDUCED = "NET_REDUCED"
"""Reason of a child that was closed, or reduced, by a trade on its netting account that was none of our orders."""
EXCESS = "CLOSED_TOO_MUCH"
"""Reason of a child that a close opened which came when its own child had been closed by others. Decided was none of
it: its `volume_e8` is 0."""
ACCOUNTS = """
    SELECT account_id, min(create_time) AS begin_time FROM subscriptions
    WHERE label = $1 AND account_id = ANY($2::bigint[]) AND nets GROUP BY account_id
"""
KNOWN = """
    SELECT DISTINCT account_id, deal_ticket FROM net_deals
    WHERE (account_id, deal_ticket) IN (SELECT * FROM unnest($1::bigint[], $2::bigint[]))
"""
CHILDREN = """
    SELECT child_trade_id, account_id, symbol, direction, open_volume_e8, volume_e8, filled_volume_e8, state,
           subscription_id, master_id
    FROM child_trades
    WHERE label = $1 AND account_id = ANY($2::bigint[]) AND nets
      AND (open_volume_e8 > 0 OR child_trade_id = ANY($3::bigint[]))
    ORDER BY child_trade_id FOR UPDATE
"""
NOBODYS = """
    SELECT account_id, symbol, sum(volume_e8)::bigint AS volume_e8 FROM net_deals
    WHERE account_id = ANY($1::bigint[]) AND child_trade_id = 0 GROUP BY account_id, symbol
"""
KEEP = """
    INSERT INTO net_deals (label, account_id, deal_ticket, symbol, child_trade_id, volume_e8)
    SELECT $1::bigint, d.* FROM unnest($2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[]) AS d
"""
# A close that was executed in parts may do too much more than once.
ADOPT = """
    INSERT INTO child_trades AS c (
        child_trade_id, label, allocation_id, master_id, subscription_id, account_id, symbol, master_position_ticket,
        state, reason, direction, volume_e8, target_volume_e8, filled_volume_e8, open_volume_e8, closing_volume_e8,
        open_price_e8, position_ticket, create_time, nets)
    SELECT n.excess_id, o.label, n.allocation_id, o.master_id, o.subscription_id, o.account_id, o.symbol,
           o.master_position_ticket, 3, $7, -o.direction, 0, 0, n.volume_e8, n.volume_e8, 0, n.price_e8,
           n.position_ticket, $8, true
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
         AS n (excess_id, child_trade_id, allocation_id, volume_e8, price_e8, position_ticket)
    JOIN child_trades AS o USING (child_trade_id)
    ORDER BY n.excess_id
    ON CONFLICT ON CONSTRAINT child_trades_pkey DO UPDATE
    SET state = 3, filled_volume_e8 = c.filled_volume_e8 + excluded.filled_volume_e8,
        open_volume_e8 = c.open_volume_e8 + excluded.open_volume_e8,
        open_price_e8 = excluded.open_price_e8, position_ticket = excluded.position_ticket
"""
CLOSE = """
    UPDATE child_trades AS c
    SET open_volume_e8 = c.open_volume_e8 - n.closed_e8,
        closing_volume_e8 = CASE WHEN c.open_volume_e8 = n.closed_e8 THEN 0
                            ELSE greatest(0, c.closing_volume_e8 - n.ordered_e8) END,
        state = CASE WHEN c.open_volume_e8 = n.closed_e8 THEN 7 ELSE c.state END,
        reason = CASE WHEN n.ordered_e8 < n.closed_e8 THEN $4 ELSE c.reason END
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS n (child_trade_id, closed_e8, ordered_e8)
    WHERE c.child_trade_id = n.child_trade_id
"""
LATE = """
    SELECT DISTINCT label, master_id, master_position_ticket FROM child_trades
    WHERE child_trade_id = ANY($1::bigint[]) AND open_volume_e8 > target_volume_e8 AND closing_volume_e8 = 0
    ORDER BY label, master_id, master_position_ticket
"""


@dataclass(frozen=True, slots=True)
class NetRow:
    """A child on a netting account, its row locked."""

    child_trade_id: int
    account_id: int
    symbol: str
    direction: int
    open_volume_e8: int
    volume_e8: int
    filled_volume_e8: int
    state: int
    subscription_id: int
    master_id: int

    @property
    def is_excess(self) -> bool:
        """Whether it is what a close did too much."""
        return self.volume_e8 == 0


@dataclass(frozen=True, slots=True)
class Booked:
    """A deal and one of its parts."""

    deal: NetDeal
    part: Part

    @property
    def closes(self) -> bool:
        """Whether it closed (a part of) a child."""
        return bool(self.part.child_trade_id) and not self.is_fill and not self.is_excess

    @property
    def is_fill(self) -> bool:
        return self.deal.opens and self.part.child_trade_id == self.deal.child_trade_id

    @property
    def is_excess(self) -> bool:
        """Whether a close did it too much."""
        return bool(self.part.child_trade_id) and self.part.child_trade_id == self.deal.excess_id

    @property
    def is_ordered(self) -> bool:
        return bool(self.part.child_trade_id) and self.part.child_trade_id == self.deal.child_trade_id


async def load_netting_accounts(tx: AsyncConnection, label: int, account_ids: Sequence[int]) -> dict[int, datetime]:
    """Those of the accounts that net, and since when each follows anybody."""
    rows = await fetch_arrays(tx, ACCOUNTS, label, account_ids)
    return {row["account_id"]: row["begin_time"] for row in rows}


async def list_netting_accounts(tx: AsyncConnection, master_id: int) -> list[int]:
    """Those that follow or followed a master."""
    query = "SELECT DISTINCT account_id FROM subscriptions WHERE master_id = $1 AND nets"
    return [row["account_id"] for row in await fetch_arrays(tx, query, master_id)]


async def find_known(tx: AsyncConnection, deals: Sequence[NetDeal]) -> set[tuple[int, int]]:
    """(account, deal ticket) of those that were booked before."""
    rows = await fetch_arrays(tx, KNOWN, [deal.account_id for deal in deals], [deal.deal_ticket for deal in deals])
    return {(row["account_id"], row["deal_ticket"]) for row in rows}


async def load_net_children(
    tx: AsyncConnection, label: int, account_ids: Sequence[int], child_trade_ids: Sequence[int]
) -> list[NetRow]:
    """All that have anything open on these accounts, and these; locked in the order of their ids."""
    rows = await fetch_arrays(tx, CHILDREN, label, account_ids, child_trade_ids)
    return [NetRow(**row) for row in rows]


async def load_nobodys_e8(tx: AsyncConnection, account_ids: Sequence[int]) -> dict[tuple[int, str], int]:
    """Signed, by (account, symbol): what of the position is no child's."""
    return {
        (row["account_id"], row["symbol"]): row["volume_e8"] for row in await fetch_arrays(tx, NOBODYS, account_ids)
    }


async def list_late(tx: AsyncConnection, booked: Sequence[Booked]) -> list[PositionKey]:
    """Master positions where a fill, or a close, left more open than is wanted by now."""
    opened = [each.part.child_trade_id for each in booked if each.is_fill or each.is_excess]
    return [PositionKey(*row.values()) for row in await fetch_arrays(tx, LATE, opened)]


async def save_net_deals(
    tx: AsyncConnection, label: int, rows: Sequence[NetRow], booked: Sequence[Booked], *, now: datetime
) -> None:
    """Keeps what deals did, and does it to the children, whose rows are locked."""
    await fetch_arrays(
        tx,
        KEEP,
        label,
        [each.deal.account_id for each in booked],
        [each.deal.deal_ticket for each in booked],
        [each.deal.symbol for each in booked],
        [each.part.child_trade_id for each in booked],
        [each.part.volume_e8 for each in booked],
    )
    fills = _fills(rows, [each for each in booked if each.is_fill])
    if fills.child_trade_ids.size:
        await apply_open_results(tx, label, NOBODY, fills, by_deals=True)
    if excess := [each for each in booked if each.is_excess]:
        await _adopt(tx, excess, now)
    closed = _sums(each for each in booked if each.closes)
    ordered = _sums(each for each in booked if each.closes and each.is_ordered)
    await fetch_arrays(
        tx, CLOSE, list(closed), list(closed.values()), [ordered.get(child, 0) for child in closed], REDUCED
    )


async def _adopt(tx: AsyncConnection, booked: Sequence[Booked], now: datetime) -> None:
    """Price and position are those of the last deal of each."""
    last = {each.deal.excess_id: each.deal for each in booked}
    added = _sums(booked)
    await fetch_arrays(
        tx,
        ADOPT,
        list(last),
        [deal.child_trade_id for deal in last.values()],
        [deal.allocation_id for deal in last.values()],
        [added[excess_id] for excess_id in last],
        [deal.price_e8 for deal in last.values()],
        [deal.position_ticket for deal in last.values()],
        EXCESS,
        now,
    )


def _sums(booked: Iterable[Booked]) -> dict[int, int]:
    """Magnitudes by child."""
    sums: dict[int, int] = {}
    for each in booked:
        sums[each.part.child_trade_id] = sums.get(each.part.child_trade_id, 0) + abs(each.part.volume_e8)
    return sums


def _fills(rows: Sequence[NetRow], booked: Sequence[Booked]) -> OrderResults:
    """One result for each child, of all that its order has filled by now; price and position are those of its last
    deal."""
    last = {each.part.child_trade_id: each.deal for each in booked}
    added = _sums(booked)
    filled = {row.child_trade_id: row for row in rows if row.child_trade_id in last}
    volumes_e8 = [row.filled_volume_e8 + added[child] for child, row in filled.items()]
    states = [
        ChildTradeState.FILLED if volume_e8 >= row.volume_e8 else ChildTradeState.PARTIALLY_FILLED
        for volume_e8, row in zip(volumes_e8, filled.values(), strict=True)
    ]
    return OrderResults(
        child_trade_ids=np.array(list(filled), dtype=np.int64),
        states=np.array(states, dtype=np.int8),
        reasons=[""] * len(filled),
        volumes_e8=np.array([row.volume_e8 for row in filled.values()], dtype=np.int64),
        filled_volumes_e8=np.array(volumes_e8, dtype=np.int64),
        prices_e8=np.array([last[child].price_e8 for child in filled], dtype=np.int64),
        position_tickets=np.array([last[child].position_ticket for child in filled], dtype=np.int64),
        order_ids=np.zeros(len(filled), dtype=np.int64),
    )
