"""Rows of orders: accepted in bulk, marked SENDING before the wire, ended in bulk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.platform_groups.domain.orders import (
    ACCOUNT_NOT_OPEN,
    ACCOUNT_READ_ONLY,
    HALTED,
    KILL_SWITCH,
    NOT_AFTER_PASSED,
    POSITION_REQUIRED,
    SUPERSEDED,
    OrderOutcome,
    SentOrder,
    UnknownOrder,
)
from apportion.platform_groups.domain.server_facts import Int64s
from apportion.platform_groups.domain.shards import SHARD_COUNT
from apportion.platform_groups.domain.states import OrderPurpose
from apportion.storage import fetch_arrays, read_arrays

RESULT_COLUMNS = """o.order_id, o.label, o.source_id, o.item_id, o.ordering_key, o.purpose, o.account_id,
    o.state, o.reason, o.volume_e8, o.filled_volume_e8, o.price_e8, o.position_ticket, o.deal_ticket,
    o.server_time_ms"""

# Without a position ticket only a netting account closes anything.
UNBOUND = "($5 = 2 AND i.position_ticket = 0 AND a.margin_mode <> 2)"
# What is open on an account that has left its group may be closed.
USABLE = "(a.state = 2 OR (a.state = 3 AND $5 <> 1))"
INSERT = f"""
    INSERT INTO orders AS o (label, trading_server_id, shard, account_id, login, source_id, item_id, ordering_key,
        closing_id, purpose, symbol, volume_e8, sent_volume_e8, position_ticket, stop_loss_e8, take_profit_e8,
        reference_price_e8, max_slippage_e8, not_after_time, halt_epoch, state, reason, next_attempt_time, create_time,
        update_time)
    SELECT a.label, a.trading_server_id, a.account_id % {SHARD_COUNT}, a.account_id, COALESCE(a.login, 0),
        $2::text, i.item_id, $3::bigint, $4::bigint, $5::smallint, i.symbol, i.volume_e8, i.volume_e8,
        i.position_ticket, i.stop_loss_e8, i.take_profit_e8, i.reference_price_e8, i.max_slippage_e8,
        $6::timestamptz, $17::bigint,
        CASE WHEN {USABLE} AND NOT {UNBOUND} THEN 1 ELSE 6 END,
        CASE WHEN NOT {USABLE} THEN '{ACCOUNT_NOT_OPEN}' WHEN {UNBOUND} THEN '{POSITION_REQUIRED}' ELSE '' END,
        $7::timestamptz, $7, $7
    FROM unnest($8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
                $15::bigint[], $16::bigint[])
        AS i (item_id, account_id, symbol, volume_e8, position_ticket, stop_loss_e8, take_profit_e8,
              reference_price_e8, max_slippage_e8)
    JOIN accounts a ON a.account_id = i.account_id AND a.label = $1
    ORDER BY i.item_id
    ON CONFLICT ON CONSTRAINT orders_item_key DO NOTHING
    RETURNING o.trading_server_id, {RESULT_COLUMNS}
"""

CONFLICTING = """
    SELECT o.item_id FROM orders o
    JOIN unnest($4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[],
                $11::bigint[], $12::bigint[])
        AS i (item_id, account_id, symbol, volume_e8, position_ticket, stop_loss_e8, take_profit_e8,
              reference_price_e8, max_slippage_e8)
      ON o.item_id = i.item_id
    WHERE o.label = $1 AND o.source_id = $2
      AND (o.purpose <> $3 OR o.account_id <> i.account_id OR o.symbol <> i.symbol OR o.volume_e8 <> i.volume_e8
           OR (o.purpose <> 1 AND i.position_ticket <> 0 AND o.position_ticket <> i.position_ticket)
           OR o.stop_loss_e8 <> i.stop_loss_e8 OR o.take_profit_e8 <> i.take_profit_e8
           OR o.reference_price_e8 <> i.reference_price_e8 OR o.max_slippage_e8 <> i.max_slippage_e8)
    LIMIT 1
"""

MISSING_ACCOUNT = """
    SELECT i.account_id FROM unnest($2::bigint[]) AS i (account_id)
    WHERE NOT EXISTS (SELECT FROM accounts a WHERE a.account_id = i.account_id AND a.label = $1) LIMIT 1
"""

# Servers differ in whether a dealer may open on a read-only account: we never do.
IS_READ_ONLY = "EXISTS (SELECT FROM accounts r WHERE r.account_id = o.account_id AND r.wanted_access = 2)"

# It may have left its group since the order was accepted.
IS_NOT_OPEN = "EXISTS (SELECT FROM accounts r WHERE r.account_id = o.account_id AND r.state <> 2)"

# Decided before a halt, however late the order came here; see `storage/halts.py`.
IS_HALTED = """EXISTS (SELECT FROM halts h WHERE h.label = o.label AND h.ordering_key = o.ordering_key
    AND h.halt_epoch > o.halt_epoch)"""

IS_STOPPED = f"""({IS_NOT_OPEN} OR {IS_READ_ONLY} OR {IS_HALTED}
    OR o.label IN (SELECT label FROM kill_switches WHERE engaged))"""

# A newer modification of a position makes the older ones void, whatever becomes of it: they are never sent after it.
STOP = f"""
    UPDATE orders o SET update_time = $3::timestamptz,
        state = CASE WHEN not_after_time < $3 THEN 7 ELSE 6 END,
        reason = CASE WHEN purpose = 3 THEN '{SUPERSEDED}' WHEN not_after_time < $3 THEN '{NOT_AFTER_PASSED}'
            WHEN {IS_HALTED} THEN '{HALTED}' WHEN {IS_NOT_OPEN} THEN '{ACCOUNT_NOT_OPEN}'
            WHEN {IS_READ_ONLY} THEN '{ACCOUNT_READ_ONLY}' ELSE '{KILL_SWITCH}' END
    WHERE trading_server_id = $1 AND shard = ANY($2::bigint[]) AND state = 1
      AND ((purpose = 1 AND (not_after_time < $3 OR {IS_STOPPED}))
           OR (purpose = 3
               AND EXISTS (SELECT FROM orders m WHERE m.purpose = 3 AND m.trading_server_id = o.trading_server_id
                           AND m.position_ticket = o.position_ticket AND m.account_id = o.account_id
                           AND m.order_id > o.order_id)))
    RETURNING {RESULT_COLUMNS}
"""

# Of one position's modifications only the newest, and only when no other may still be on the wire.
CLAIM = f"""
    WITH picked AS MATERIALIZED (
        SELECT order_id, shard FROM orders o
        WHERE trading_server_id = $1 AND shard = ANY($2::bigint[]) AND state = 1
          AND next_attempt_time <= $4::timestamptz AND (purpose = 2 OR NOT $7::boolean)
          AND (purpose = 2
               OR (purpose = 3 AND NOT EXISTS (
                   SELECT FROM orders m WHERE m.purpose = 3 AND m.trading_server_id = o.trading_server_id
                   AND m.position_ticket = o.position_ticket AND m.account_id = o.account_id
                   AND m.order_id <> o.order_id
                   AND (m.order_id > o.order_id OR m.state IN (2, 3))))
               OR (purpose = 1 AND not_after_time >= $4 AND NOT {IS_STOPPED}))
        ORDER BY (purpose = 2) DESC, order_id LIMIT $5 FOR UPDATE
    )
    UPDATE orders o SET state = 2, epoch = held.epoch, attempt_count = attempt_count + 1, absent_count = 0,
        sent_time = $4, sent_server_time_ms = $6, update_time = $4
    FROM picked JOIN unnest($2::bigint[], $3::bigint[]) AS held (shard, epoch) ON held.shard = picked.shard,
        accounts AS a
    WHERE o.order_id = picked.order_id AND a.account_id = o.account_id
    RETURNING o.order_id, o.account_id, o.login, o.shard, o.purpose, o.symbol, o.sent_volume_e8, o.position_ticket,
        o.stop_loss_e8, o.take_profit_e8, o.reference_price_e8, o.max_slippage_e8, o.not_after_time, o.epoch,
        o.attempt_count, a.margin_mode = 2 AS nets
"""

# A claimed order may wait long for a slow server: one whose answer was lost was sent at the latest now, and only a
# report that is late enough after that proves that it was not executed. An answer to an earlier attempt, or a report on
# it, says nothing about this one, which may be on the wire.
SAVE = f"""
    UPDATE orders o SET state = r.state, reason = r.reason, update_time = $11::timestamptz,
        sent_time = CASE WHEN r.state = 3 THEN $11 ELSE o.sent_time END,
        absent_count = CASE WHEN r.state = 3 THEN 0 ELSE o.absent_count END,
        next_attempt_time = $11 + make_interval(secs => r.retry_seconds),
        sent_volume_e8 = CASE WHEN r.volume_e8 <> 0 THEN r.volume_e8 ELSE o.sent_volume_e8 END,
        filled_volume_e8 = r.filled_volume_e8, price_e8 = r.price_e8, deal_ticket = r.deal_ticket,
        position_ticket = CASE WHEN r.position_ticket > 0 THEN r.position_ticket ELSE o.position_ticket END,
        server_time_ms = r.server_time_ms
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::bigint[],
                $8::bigint[], $9::bigint[], $10::bigint[], $12::float8[], $13::bigint[])
        AS r (order_id, epoch, state, reason, volume_e8, filled_volume_e8, price_e8, position_ticket, deal_ticket,
              server_time_ms, retry_seconds, attempt_count)
    WHERE o.order_id = r.order_id AND o.epoch = r.epoch AND o.attempt_count = r.attempt_count AND o.state IN (2, 3)
    RETURNING {RESULT_COLUMNS}
"""

# Of two reports that were made side by side only one counts.
SAVE_ABSENCES = """
    UPDATE orders o SET absent_count = o.absent_count + 1
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[])
        AS r (order_id, epoch, attempt_count, absent_count)
    WHERE o.order_id = r.order_id AND o.epoch = r.epoch AND o.attempt_count = r.attempt_count AND o.state = 3
      AND o.absent_count = r.absent_count
"""

ORPHANED = f"""
    UPDATE orders o SET state = 3, sent_time = $3::timestamptz, update_time = $3
    WHERE trading_server_id = $1 AND shard = ANY($2::bigint[]) AND state = 2
    RETURNING {RESULT_COLUMNS}
"""


@dataclass(frozen=True, slots=True)
class NewOrders:
    """Orders to accept, in columns; `symbols` is one text for each order."""

    label: int
    source_id: str
    ordering_key: int
    purpose: OrderPurpose
    not_after_time: datetime | None
    item_ids: Int64s
    account_ids: Int64s
    symbols: list[str]
    volumes_e8: Int64s
    position_tickets: Int64s
    stop_losses_e8: Int64s
    take_profits_e8: Int64s
    reference_prices_e8: Int64s
    max_slippages_e8: Int64s
    closing_id: int = 0
    halt_epoch: int | None = None
    """None: no halt concerns them."""


async def insert_orders(tx: AsyncConnection, orders: NewOrders, now: datetime) -> list[Any]:
    """Rows of those that are new: READY, or REJECTED where the account is not open."""
    return await fetch_arrays(
        tx,
        INSERT,
        orders.label,
        orders.source_id,
        orders.ordering_key,
        orders.closing_id,
        int(orders.purpose),
        orders.not_after_time,
        now,
        orders.item_ids,
        orders.account_ids,
        orders.symbols,
        orders.volumes_e8,
        orders.position_tickets,
        orders.stop_losses_e8,
        orders.take_profits_e8,
        orders.reference_prices_e8,
        orders.max_slippages_e8,
        orders.halt_epoch,
    )


async def find_conflict(tx: AsyncConnection, orders: NewOrders) -> int | None:
    """An item that exists with other content."""
    rows = await fetch_arrays(
        tx,
        CONFLICTING,
        orders.label,
        orders.source_id,
        int(orders.purpose),
        orders.item_ids,
        orders.account_ids,
        orders.symbols,
        orders.volumes_e8,
        orders.position_tickets,
        orders.stop_losses_e8,
        orders.take_profits_e8,
        orders.reference_prices_e8,
        orders.max_slippages_e8,
    )
    return rows[0]["item_id"] if rows else None


async def find_missing_account(tx: AsyncConnection, label: int, account_ids: Int64s) -> int | None:
    """An account that the label does not have."""
    rows = await fetch_arrays(tx, MISSING_ACCOUNT, label, np.unique(account_ids))
    return rows[0]["account_id"] if rows else None


async def stop_orders(tx: AsyncConnection, trading_server_id: int, shards: Sequence[int], now: datetime) -> list[Any]:
    """Ends what may not be sent any more: opens that are too late, on accounts that are not open or read-only, decided
    before a halt or stopped by the kill switch, and modifications that a newer one replaces. Returns
    their result rows."""
    return await fetch_arrays(tx, STOP, trading_server_id, list(shards), now)


async def read_stopped(engine: AsyncEngine, order_ids: Sequence[int]) -> set[int]:
    """Opens among these that may not be sent any more, but for their time."""
    query = f"SELECT o.order_id FROM orders o WHERE o.order_id = ANY($1::bigint[]) AND o.purpose = 1 AND {IS_STOPPED}"
    return {row["order_id"] for row in await read_arrays(engine, query, list(order_ids))}


async def claim_orders(
    tx: AsyncConnection,
    trading_server_id: int,
    epochs: dict[int, int],
    *,
    limit: int,
    closes_only: bool = False,
    server_time_ms: int,
    now: datetime,
) -> list[SentOrder]:
    """Marks READY orders SENDING, closes first. `epochs` by shard, each held by the transaction."""
    rows = await fetch_arrays(
        tx,
        CLAIM,
        trading_server_id,
        list(epochs),
        list(epochs.values()),
        now,
        limit,
        server_time_ms,
        closes_only,
    )
    claimed = [
        SentOrder(
            order_id=row["order_id"],
            account_id=row["account_id"],
            login=row["login"],
            shard=row["shard"],
            purpose=OrderPurpose(row["purpose"]),
            symbol=row["symbol"],
            volume_e8=row["sent_volume_e8"],
            position_ticket=row["position_ticket"],
            stop_loss_e8=row["stop_loss_e8"],
            take_profit_e8=row["take_profit_e8"],
            reference_price_e8=row["reference_price_e8"],
            max_slippage_e8=row["max_slippage_e8"],
            not_after_time=row["not_after_time"],
            epoch=row["epoch"],
            attempt_count=row["attempt_count"],
            nets=row["nets"],
        )
        for row in rows
    ]
    return sorted(claimed, key=lambda order: (order.purpose is not OrderPurpose.CLOSE, order.order_id))


async def save_outcomes(tx: AsyncConnection, outcomes: Sequence[OrderOutcome], now: datetime) -> list[Any]:
    """Result rows of the orders that were still SENDING or UNKNOWN and not sent again since."""
    return await fetch_arrays(
        tx,
        SAVE,
        [outcome.order_id for outcome in outcomes],
        [outcome.epoch for outcome in outcomes],
        [int(outcome.state) for outcome in outcomes],
        [outcome.reason for outcome in outcomes],
        [outcome.volume_e8 for outcome in outcomes],
        [outcome.filled_volume_e8 for outcome in outcomes],
        [outcome.price_e8 for outcome in outcomes],
        [outcome.position_ticket for outcome in outcomes],
        [outcome.deal_ticket for outcome in outcomes],
        [outcome.server_time_ms for outcome in outcomes],
        now,
        [outcome.retry_seconds for outcome in outcomes],
        [outcome.attempt_count for outcome in outcomes],
    )


async def orphan_orders(tx: AsyncConnection, trading_server_id: int, shards: Sequence[int], now: datetime) -> list[Any]:
    """What a former owner of these shards left SENDING is UNKNOWN. Returns the result rows."""
    return await fetch_arrays(tx, ORPHANED, trading_server_id, list(shards), now)


async def list_unknown(
    tx: AsyncConnection, trading_server_id: int, shards: Sequence[int], limit: int
) -> list[UnknownOrder]:
    query = text(
        """SELECT order_id, login, shard, purpose, sent_volume_e8, position_ticket, stop_loss_e8, take_profit_e8,
        epoch, reason, absent_count, attempt_count, sent_server_time_ms, sent_time, not_after_time, symbol,
        account_id IN (SELECT account_id FROM accounts WHERE margin_mode = 2) AS nets FROM orders
        WHERE trading_server_id = :id AND shard = ANY(CAST(:shards AS bigint[])) AND state = 3
        ORDER BY absent_count, order_id LIMIT :limit"""
    )
    rows = await tx.execute(query, {"id": trading_server_id, "shards": list(shards), "limit": limit})
    return [
        UnknownOrder(
            order_id=row.order_id,
            login=row.login,
            shard=row.shard,
            purpose=OrderPurpose(row.purpose),
            volume_e8=row.sent_volume_e8,
            position_ticket=row.position_ticket,
            stop_loss_e8=row.stop_loss_e8,
            take_profit_e8=row.take_profit_e8,
            epoch=row.epoch,
            reason=row.reason,
            absent_count=row.absent_count,
            attempt_count=row.attempt_count,
            sent_server_time_ms=row.sent_server_time_ms,
            sent_time=row.sent_time,
            not_after_time=row.not_after_time,
            symbol=row.symbol,
            nets=row.nets,
        )
        for row in rows
    ]


async def save_absences(tx: AsyncConnection, orders: Sequence[UnknownOrder]) -> None:
    """One more complete, late enough report without these, unless they were sent again or another report came since."""
    await fetch_arrays(
        tx,
        SAVE_ABSENCES,
        [order.order_id for order in orders],
        [order.epoch for order in orders],
        [order.attempt_count for order in orders],
        [order.absent_count for order in orders],
    )


async def list_by_source(tx: AsyncConnection, label: int, source_id: str, after_item_id: int, limit: int) -> list[Any]:
    """Result rows of one source, by item id."""
    query = f"""SELECT {RESULT_COLUMNS} FROM orders o
        WHERE label = $1 AND source_id = $2 AND item_id > $3 ORDER BY item_id LIMIT $4"""
    return await fetch_arrays(tx, query, label, source_id, after_item_id, limit)
