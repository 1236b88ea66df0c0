"""Deals that the connector has read: each once, by server and ticket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.platform_groups.domain.server_facts import ServerDeal
from apportion.platform_groups.domain.states import AccountKind
from apportion.storage import fetch_arrays

# A token counts only on the account that its order was for: a trader can write any comment at a terminal.
INSERT = """
    INSERT INTO deals (trading_server_id, deal_ticket, label, account_id, order_ticket, position_ticket, action, entry,
        symbol, volume_e8, price_e8, profit_minor, swap_minor, commission_minor, server_time_ms, reason, order_id,
        transfer_id, observed_time)
    SELECT $1::bigint, d.deal_ticket, d.label, d.account_id, d.order_ticket, d.position_ticket, d.action, d.entry,
        d.symbol, d.volume_e8, d.price_e8, d.profit_minor, d.swap_minor, d.commission_minor, d.server_time_ms, d.reason,
        COALESCE(o.order_id, 0), COALESCE(l.transfer_id, 0), $2::timestamptz
    FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
                $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[],
                $17::bigint[], $18::bigint[], $19::bigint[])
        AS d (deal_ticket, label, account_id, order_ticket, position_ticket, action, entry, symbol, volume_e8,
              price_e8, profit_minor, swap_minor, commission_minor, server_time_ms, reason, order_token, leg_token)
    LEFT JOIN orders o ON o.order_id = d.order_token AND o.account_id = d.account_id AND d.order_token > 0
    LEFT JOIN transfer_legs l ON l.leg_id = d.leg_token AND l.account_id = d.account_id AND d.leg_token > 0
    ON CONFLICT ON CONSTRAINT deals_pkey DO NOTHING
    RETURNING deal_ticket, order_id, transfer_id
"""
OF_POSITIONS = """
    SELECT * FROM (
        SELECT d.*, coalesce(s.stop_loss_e8, 0) AS stop_loss_e8, coalesce(s.take_profit_e8, 0) AS take_profit_e8
        FROM deals AS d
        LEFT JOIN LATERAL (
            SELECT stop_loss_e8, take_profit_e8 FROM position_stops AS s
            WHERE s.trading_server_id = d.trading_server_id AND s.account_id = d.account_id
              AND s.lasting_ticket = d.position_ticket AND d.entry IN (1, 3)
            ORDER BY s.update_time DESC LIMIT 1
        ) AS s ON true
        WHERE d.label = $1 AND d.account_id = ANY($2::bigint[])
          AND (d.account_id, d.position_ticket) IN (SELECT * FROM unnest($2::bigint[], $3::bigint[]))
          AND d.observed_time >= coalesce($4::timestamptz, '-infinity')
        ORDER BY d.deal_ticket DESC LIMIT $5
    ) AS newest ORDER BY deal_ticket
"""

LASTING = """
    SELECT position_ticket AS ticket, position_ticket AS lasting_ticket, 0 AS rank FROM deals
    WHERE trading_server_id = $1 AND account_id = ANY($2::bigint[]) AND position_ticket = ANY($3::bigint[])
    UNION
    SELECT order_ticket, position_ticket, 1 FROM deals
    WHERE trading_server_id = $1 AND account_id = ANY($2::bigint[]) AND order_ticket = ANY($3::bigint[])
      AND entry IN (1, 3)
    ORDER BY rank
"""


@dataclass(frozen=True, slots=True)
class ObservedDeal:
    """A deal of an account of ours, with the tokens that its comment carries (0: none)."""

    deal: ServerDeal
    label: int
    account_id: int
    kind: AccountKind
    order_token: int
    leg_token: int
    nets: bool = False
    """Whether the account has one position a symbol, so that it does not tell what a deal was for."""


@dataclass(frozen=True, slots=True)
class SubmittedOrder:
    """An order as it was submitted."""

    source_id: str
    item_id: int
    purpose: int


NO_ORDER = SubmittedOrder("", 0, 0)


async def insert_deals(
    tx: AsyncConnection, trading_server_id: int, observed: Sequence[ObservedDeal], now: datetime
) -> dict[int, tuple[int, int]]:
    """(order id, transfer id) by ticket, of those that were not known yet."""
    deals = [each.deal for each in observed]
    rows = await fetch_arrays(
        tx,
        INSERT,
        trading_server_id,
        now,
        [deal.deal_ticket for deal in deals],
        [each.label for each in observed],
        [each.account_id for each in observed],
        [deal.order_ticket for deal in deals],
        [deal.position_ticket for deal in deals],
        [int(deal.action) for deal in deals],
        [int(deal.entry) for deal in deals],
        [deal.symbol for deal in deals],
        [deal.volume_e8 for deal in deals],
        [deal.price_e8 for deal in deals],
        [deal.profit_minor for deal in deals],
        [deal.swap_minor for deal in deals],
        [deal.commission_minor for deal in deals],
        [deal.server_time_ms for deal in deals],
        [deal.reason for deal in deals],
        [each.order_token for each in observed],
        [each.leg_token for each in observed],
    )
    return {row["deal_ticket"]: (row["order_id"], row["transfer_id"]) for row in rows}


async def find_lasting_tickets(
    tx: AsyncConnection, trading_server_id: int, account_ids: Sequence[int], position_tickets: Sequence[int]
) -> dict[int, int]:
    """By position ticket the one that the position's deals keep, of those positions of which a deal was told.

    A position's ticket is that of the order that opened it, or turned it around; its deals keep the first one.
    """
    rows = await fetch_arrays(tx, LASTING, trading_server_id, list(account_ids), list(position_tickets))
    return {row["ticket"]: row["lasting_ticket"] for row in rows}


async def load_submitted(tx: AsyncConnection, order_ids: Sequence[int]) -> dict[int, SubmittedOrder]:
    """By order id."""
    query = "SELECT order_id, source_id, item_id, purpose FROM orders WHERE order_id = ANY($1::bigint[])"
    rows = await fetch_arrays(tx, query, list(order_ids)) if order_ids else []
    return {row["order_id"]: SubmittedOrder(row["source_id"], row["item_id"], row["purpose"]) for row in rows}


async def newest_deal_time_ms(tx: AsyncConnection, trading_server_id: int) -> int:
    """Raw server time of the newest stored deal; 0 without any."""
    query = text("SELECT COALESCE(max(server_time_ms), 0) FROM deals WHERE trading_server_id = :id")
    return int((await tx.execute(query, {"id": trading_server_id})).scalar_one())


async def list_deals_of_positions(
    tx: AsyncConnection,
    label: int,
    account_ids: Sequence[int],
    position_tickets: Sequence[int],
    since_time: datetime | None,
    *,
    limit: int,
) -> list[Any]:
    """Records of the newest deals of these (account, position) that were stored since then, in ticket order: the
    columns of the table, and the stops that a master's position has now with its opening deals.
    """
    return await fetch_arrays(tx, OF_POSITIONS, label, account_ids, position_tickets, since_time, limit)


async def tickets_since(tx: AsyncConnection, trading_server_id: int, server_time_ms: int) -> set[int]:
    """Stored tickets from a server time on: what an overlapping read finds again."""
    query = text("SELECT deal_ticket FROM deals WHERE trading_server_id = :id AND server_time_ms >= :from_ms")
    values = {"id": trading_server_id, "from_ms": server_time_ms}
    return set((await tx.execute(query, values)).scalars())
