"""Positions that trading servers show otherwise than the books, always compared by whole batches of accounts.

Only closing deals move what is open by the books. A deviation is what the books and a complete report disagree on; it
counts when a second report, some seconds later, disagrees by the same volumes: whatever was on its way has arrived by
then. It goes with the first report that agrees.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.positions import PositionReport
from apportion.money import Int64Array
from apportion.storage import fetch_arrays

SERVERS = "SELECT DISTINCT label, trading_server_id FROM masters ORDER BY label, trading_server_id"
# Whose positions concern us: all that are subscribed, and those that still have a child open.
WATCHED = """
    SELECT s.account_id FROM subscriptions AS s JOIN masters AS m USING (master_id)
    WHERE s.label = $1 AND m.trading_server_id = $2
      AND (s.state < 3 OR EXISTS (
          SELECT FROM child_trades AS c WHERE c.account_id = s.account_id AND c.open_volume_e8 > 0 AND c.label = $1))
"""
# As many as can be told of in one answer.
ACCOUNTS = f"""
    SELECT account_id FROM (
        SELECT account_id, sum(child_count) OVER (ORDER BY account_id) - child_count AS before_count
        FROM (
            SELECT DISTINCT account_id FROM ({WATCHED}) AS watched WHERE account_id > $3 ORDER BY account_id LIMIT $4
        ) AS watched
        CROSS JOIN LATERAL (
            SELECT count(*) AS child_count FROM child_trades AS c
            WHERE c.account_id = watched.account_id AND c.open_volume_e8 > 0
        ) AS k
    ) AS counted
    WHERE before_count < $5 ORDER BY account_id
"""
MARK_LEFT = """
    INSERT INTO left_accounts (label, trading_server_id, account_id, left_time, ask_time)
    SELECT $1::bigint, $2::bigint, a, $4::timestamptz, $4 FROM unnest($3::bigint[]) AS a
    ON CONFLICT ON CONSTRAINT left_accounts_pkey DO NOTHING
    RETURNING account_id
"""
RETURNED = "DELETE FROM left_accounts WHERE label = $1 AND account_id = ANY($2::bigint[])"
# A position of our order, or of a netting account, while orders of its account are on their way is expected: it is not
# confirmed. Of netting accounts the one position of each symbol is compared (ticket 0) with the sum of all children in
# it, and its first order says nothing of whose it is.
COMPARE = """
    WITH netting AS (
        SELECT DISTINCT account_id FROM subscriptions WHERE label = $1 AND account_id = ANY($3::bigint[]) AND nets
    ), server AS (
        SELECT s.account_id, CASE WHEN n.account_id IS NULL THEN '' ELSE s.symbol END AS net_symbol, s.symbol,
               CASE WHEN n.account_id IS NULL THEN s.position_ticket ELSE 0 END AS position_ticket,
               s.volume_e8, s.open_price_e8, CASE WHEN n.account_id IS NULL THEN s.order_id ELSE 0 END AS order_id
        FROM unnest($4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[])
             AS s (account_id, position_ticket, symbol, volume_e8, open_price_e8, order_id)
        LEFT JOIN netting AS n USING (account_id)
    ), books AS (
        SELECT account_id, CASE WHEN nets THEN 0 ELSE position_ticket END AS position_ticket,
               CASE WHEN nets THEN symbol ELSE '' END AS net_symbol, min(symbol) AS symbol,
               sum(direction * open_volume_e8)::bigint AS volume_e8
        FROM child_trades
        WHERE label = $1 AND account_id = ANY($3::bigint[]) AND open_volume_e8 > 0 AND position_ticket <> 0
        GROUP BY 1, 2, 3
    ), different AS (
        SELECT account_id, position_ticket, coalesce(s.symbol, b.symbol) AS symbol,
               coalesce(s.volume_e8, 0) AS server_volume_e8, coalesce(b.volume_e8, 0) AS book_volume_e8,
               coalesce(s.open_price_e8, 0) AS open_price_e8, coalesce(s.order_id, 0) AS order_id
        FROM server AS s FULL JOIN books AS b USING (account_id, position_ticket, net_symbol)
        WHERE coalesce(s.volume_e8, 0) <> coalesce(b.volume_e8, 0)
    ), settled AS (
        DELETE FROM deviations AS d
        WHERE d.label = $1 AND d.account_id = ANY($3::bigint[]) AND NOT EXISTS (
            SELECT FROM different AS n
            WHERE n.account_id = d.account_id AND n.position_ticket = d.position_ticket AND n.symbol = d.symbol)
    ), stored AS (
        INSERT INTO deviations AS d
            (label, trading_server_id, account_id, position_ticket, symbol, server_volume_e8, book_volume_e8,
             open_price_e8, order_id, first_time, seen_time, confirmed)
        SELECT $1, $2, n.*, $10, $10, false FROM different AS n
        ON CONFLICT ON CONSTRAINT deviations_pkey DO UPDATE
        SET (symbol, server_volume_e8, book_volume_e8, open_price_e8, order_id, seen_time)
                = ROW (excluded.symbol, excluded.server_volume_e8, excluded.book_volume_e8, excluded.open_price_e8,
                       excluded.order_id, excluded.seen_time),
            first_time = CASE
                WHEN (d.server_volume_e8, d.book_volume_e8) = (excluded.server_volume_e8, excluded.book_volume_e8)
                THEN d.first_time ELSE excluded.seen_time END,
            confirmed = (d.server_volume_e8, d.book_volume_e8) = (excluded.server_volume_e8, excluded.book_volume_e8)
                AND excluded.seen_time - d.first_time >= make_interval(secs => $11)
                AND NOT ((excluded.position_ticket = 0 OR (excluded.order_id <> 0 AND excluded.book_volume_e8 = 0))
                    AND EXISTS (
                        SELECT FROM subscriptions AS s JOIN child_trades AS c USING (subscription_id)
                        WHERE s.label = $1 AND s.account_id = excluded.account_id AND c.state = 1))
        RETURNING d.*
    )
    SELECT count(*) AS deviation_count, count(*) FILTER (WHERE NOT confirmed) AS unconfirmed_count,
           coalesce(array_agg(DISTINCT account_id) FILTER (
               WHERE confirmed AND order_id <> 0 AND book_volume_e8 = 0 AND server_volume_e8 <> 0), '{}') AS suspects,
           coalesce(array_agg(ARRAY[account_id, position_ticket] ORDER BY account_id, position_ticket) FILTER (
               WHERE confirmed AND position_ticket <> 0
                 AND sign(book_volume_e8) * server_volume_e8 < abs(book_volume_e8)), '{}') AS missing
    FROM stored
"""
# Our order opened it, the books have nothing of it open, and nothing of its child is wanted: what the server shows is
# taken into the books, with nothing wanted, so that it is closed as everything that is too much. Closing deals on it
# that nobody could place until now are counted as filled: they are booked with the next one.
ADOPT = """
    WITH orphans AS (
        SELECT DISTINCT ON (d.account_id, d.position_ticket)
               c.child_trade_id, d.position_ticket, d.open_price_e8, abs(d.server_volume_e8) AS volume_e8,
               (SELECT coalesce(sum(k.volume_e8), 0)::bigint FROM closing_deals AS k
                WHERE k.account_id = d.account_id AND k.position_ticket = d.position_ticket
                  AND k.child_trade_id IS NULL) AS waiting_e8
        FROM deviations AS d
        LEFT JOIN unfilled_orders AS u ON u.order_id = d.order_id AND u.label = d.label
        JOIN child_trades AS c ON c.account_id = d.account_id AND c.label = d.label AND (
            c.position_ticket = d.position_ticket OR (c.position_ticket = 0 AND c.child_trade_id = u.child_trade_id))
        WHERE d.label = $1 AND d.account_id = ANY($2::bigint[]) AND d.confirmed AND d.order_id <> 0
          AND d.book_volume_e8 = 0 AND sign(d.server_volume_e8) = c.direction
          AND c.state IN (5, 6, 7) AND c.open_volume_e8 = 0 AND c.target_volume_e8 = 0
        ORDER BY d.account_id, d.position_ticket, c.child_trade_id DESC
    ), locked AS (
        SELECT c.child_trade_id FROM child_trades AS c JOIN orphans USING (child_trade_id)
        ORDER BY c.child_trade_id FOR UPDATE OF c
    )
    UPDATE child_trades AS c
    SET state = 3, reason = 'ORPHAN', position_ticket = o.position_ticket, open_price_e8 = o.open_price_e8,
        open_volume_e8 = o.volume_e8, closing_volume_e8 = 0,
        filled_volume_e8 = greatest(c.filled_volume_e8, o.volume_e8 + o.waiting_e8)
    FROM orphans AS o JOIN locked USING (child_trade_id)
    WHERE c.child_trade_id = o.child_trade_id AND c.open_volume_e8 = 0 AND c.target_volume_e8 = 0
    RETURNING c.child_trade_id
"""
FORGET = f"""
    DELETE FROM deviations
    WHERE label = $1 AND trading_server_id = $2 AND account_id NOT IN ({WATCHED})
"""
KEEP_UNFILLED = """
    INSERT INTO unfilled_orders (label, order_id, child_trade_id)
    SELECT $1, r.* FROM unnest($2::bigint[], $3::bigint[]) AS r (order_id, child_trade_id)
    ON CONFLICT ON CONSTRAINT unfilled_orders_pkey DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Of one batch of accounts."""

    deviation_count: int
    unconfirmed_count: int
    """A second report will tell about these."""
    suspect_account_ids: Sequence[int]
    """They have a position that our order opened and of which the books have nothing open."""
    missing: Sequence[tuple[int, int]]
    """(account, position ticket) of which the books have more open, confirmed."""
    newly_left_account_ids: Sequence[int]


async def list_watched_servers(tx: AsyncConnection) -> list[tuple[int, int]]:
    """(label, trading server) of all masters."""
    return [(row["label"], row["trading_server_id"]) for row in await fetch_arrays(tx, SERVERS)]


async def list_watched_accounts(
    tx: AsyncConnection,
    label: int,
    trading_server_id: int,
    *,
    after: int,
    most_accounts: int,
    most_positions: int,
) -> list[int]:
    """In id order, those with an id above `after`, until they have `most_positions` open together."""
    rows = await fetch_arrays(tx, ACCOUNTS, label, trading_server_id, after, most_accounts, most_positions)
    return [row["account_id"] for row in rows]


async def compare_positions(
    tx: AsyncConnection,
    label: int,
    trading_server_id: int,
    account_ids: Sequence[int],
    report: PositionReport,
    *,
    confirm_seconds: float,
    now: datetime,
) -> Comparison:
    """Stores what a complete report of these accounts shows otherwise than the books, and forgets what agrees again.

    Accounts that are not open (any more) at platform-groups are marked; nothing else of them changes.
    """
    left = list(report.left_account_ids)
    newly_left = await fetch_arrays(tx, MARK_LEFT, label, trading_server_id, left, now)
    account_ids = sorted(set(account_ids) - set(left))
    await fetch_arrays(tx, RETURNED, label, account_ids)
    (row,) = await fetch_arrays(
        tx,
        COMPARE,
        label,
        trading_server_id,
        account_ids,
        report.account_ids,
        report.position_tickets,
        report.symbols,
        report.volumes_e8,
        report.open_prices_e8,
        report.order_ids,
        report.observed_time,
        confirm_seconds,
    )
    missing = [(account_id, ticket) for account_id, ticket in row["missing"]]
    newly_left_ids = [each["account_id"] for each in newly_left]
    return Comparison(row["deviation_count"], row["unconfirmed_count"], row["suspects"], missing, newly_left_ids)


async def adopt_orphans(tx: AsyncConnection, label: int, account_ids: Sequence[int]) -> int:
    """Takes the confirmed orphans of these accounts into the books, as too much. Returns how many."""
    return len(await fetch_arrays(tx, ADOPT, label, account_ids))


async def forget_unwatched(tx: AsyncConnection, label: int, trading_server_id: int) -> None:
    """Drops deviations of accounts that concern nobody any more."""
    await fetch_arrays(tx, FORGET, label, trading_server_id)


async def keep_unfilled(tx: AsyncConnection, label: int, order_ids: Int64Array, child_trade_ids: Int64Array) -> None:
    """Remembers whose the orders were that ended without a position."""
    if order_ids.size:
        await fetch_arrays(tx, KEEP_UNFILLED, label, order_ids, child_trade_ids)
