"""The history: every deal of accounts that are masters or were ever subscribed, each once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.closed_trades import TradeDeal
from apportion.allocation.domain.history import AccountDeals, HistoryEntry, HistoryFilter, HistoryRow, HistoryScope
from apportion.allocation.storage.packing import from_aggregate
from apportion.money import INT64_MAX, INT64_MIN, Int64Array
from apportion.storage import fetch_arrays

DealPlace = tuple[int, int]
"""(server time in ms, deal ticket): the order of an account's deals."""
BEFORE_ALL: DealPlace = (INT64_MIN, INT64_MIN)
AFTER_ALL: DealPlace = (INT64_MAX, INT64_MAX)
# In the order of the key, so that two writers that meet wait for one another.
CHANGED = """
    INSERT INTO history_versions AS v (account_id, version)
    SELECT DISTINCT k.account_id, 1 FROM kept AS k JOIN masters AS m ON m.label = $1 AND m.account_id = k.account_id
    ORDER BY k.account_id
    ON CONFLICT ON CONSTRAINT history_versions_pkey DO UPDATE SET version = v.version + 1
"""
KEEP = f"""
    WITH kept AS (
        INSERT INTO account_deals
            (label, account_id, deal_ticket, position_ticket, action, entry, symbol, volume_e8, price_e8, profit_minor,
             swap_minor, commission_minor, server_time_ms, order_id, transfer_id, reason, deal_time)
        SELECT $1::bigint, d.*
        FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::smallint[], $7::text[], $8::bigint[],
                    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
                    $15::bigint[], $16::integer[], $17::timestamptz[]) AS d (account_id)
        WHERE EXISTS (SELECT FROM masters AS m WHERE m.label = $1 AND m.account_id = d.account_id)
           OR EXISTS (SELECT FROM subscriptions AS s WHERE s.label = $1 AND s.account_id = d.account_id)
        ON CONFLICT ON CONSTRAINT account_deals_pkey DO NOTHING
        RETURNING account_id
    )
    {CHANGED}
"""
KEEP_TRANSFERS = f"""
    WITH own AS (
        INSERT INTO own_transfers (label, source, transfer_id) SELECT $1::bigint, $2::text, unnest($3::bigint[])
        ON CONFLICT ON CONSTRAINT own_transfers_pkey DO NOTHING
        RETURNING transfer_id
    ), kept AS (
        SELECT d.account_id FROM own JOIN account_deals AS d ON d.transfer_id = own.transfer_id AND d.transfer_id <> 0
    )
    {CHANGED}
"""
# LATERAL and LIMIT: where a deal is of several children, it is still one row; one's own child comes first. On a netting
# account a position is of many children, and the books tell whose each deal was.
CHILD = """
    LEFT JOIN LATERAL (
        SELECT * FROM (
            SELECT c.child_trade_id, c.subscription_id FROM child_trades AS c
            WHERE c.account_id = d.account_id AND c.position_ticket = d.position_ticket AND c.position_ticket <> 0
              AND NOT c.nets AND {wants_child}
            UNION ALL
            SELECT c.child_trade_id, c.subscription_id
            FROM net_deals AS n JOIN child_trades AS c ON c.child_trade_id = n.child_trade_id
            WHERE n.account_id = d.account_id AND n.deal_ticket = d.deal_ticket AND {wants_child}
        ) AS c
        ORDER BY c.subscription_id = {subscription_id} DESC, c.child_trade_id LIMIT 1
    ) AS c ON true
"""
SEEN = """
    ({subscription_id} = 0 OR c.subscription_id = {subscription_id}
     OR (c.child_trade_id IS NULL AND d.deal_time >= {start_time}
         AND ({end_time} IS NULL OR d.deal_time < {end_time})))
"""
LIST_NAMES = {
    "subscription_id": "$3::bigint",
    "start_time": "$4::timestamptz",
    "end_time": "$5::timestamptz",
    "wants_child": "true",
}
LIST = f"""
    SELECT d.account_id, d.deal_ticket, d.position_ticket, d.entry, d.symbol, d.volume_e8, d.price_e8, d.profit_minor,
           d.swap_minor, d.commission_minor, d.server_time_ms, coalesce(c.child_trade_id, 0) AS child_trade_id
    FROM account_deals AS d {CHILD.format(**LIST_NAMES)}
    WHERE d.label = $1 AND d.account_id = $2 AND {SEEN.format(**LIST_NAMES)}
      AND d.server_time_ms >= $6 AND d.server_time_ms < $7
      AND (cardinality($8::smallint[]) = 0 OR d.entry = ANY($8::smallint[]))
      AND (d.server_time_ms, d.deal_ticket) < ($9::bigint, $10::bigint)
    ORDER BY d.server_time_ms DESC, d.deal_ticket DESC LIMIT $11
"""
SCOPE_NAMES = {
    "subscription_id": "o.subscription_id",
    "start_time": "o.start_time",
    "end_time": "o.end_time",
    "wants_child": "o.subscription_id <> 0",
}
TRADES = f"""
    SELECT o.number, d.position_ticket, d.entry, d.volume_e8, d.profit_minor, d.swap_minor, d.commission_minor,
           d.server_time_ms, {SEEN.format(**SCOPE_NAMES)} AS is_counted, d.deal_ticket
    FROM unnest($1::bigint[], $2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::bigint[], $6::bigint[])
        WITH ORDINALITY AS o (account_id, subscription_id, start_time, end_time, after_ms, after_ticket, number)
    CROSS JOIN LATERAL (
        SELECT * FROM account_deals AS d
        WHERE d.account_id = o.account_id AND d.action = 1
          AND (d.server_time_ms, d.deal_ticket) > (o.after_ms, o.after_ticket)
        ORDER BY d.server_time_ms, d.deal_ticket LIMIT $7
    ) AS d
    {CHILD.format(**SCOPE_NAMES)}
    ORDER BY o.number, d.server_time_ms, d.deal_ticket
"""
# A credit moves the equity, too. A share of profit is a result of the investor who gets or pays it; on the master's
# account, where it was earned or lost, it is a withdrawal or a deposit.
FLOWS = """
    SELECT o.number, string_agg(int8send(d.server_time_ms), '' ORDER BY d.server_time_ms) AS times_ms,
           string_agg(int8send(d.profit_minor + d.swap_minor + d.commission_minor), '' ORDER BY d.server_time_ms)
               AS flows_minor
    FROM unnest($1::bigint[]) WITH ORDINALITY AS o (account_id, number)
    LEFT JOIN account_deals AS d
        ON d.account_id = o.account_id AND d.action <> 1
       AND NOT EXISTS (
           SELECT FROM own_transfers AS t WHERE t.transfer_id = d.transfer_id
              AND (t.source <> 'allocation/profit'
                   OR NOT EXISTS (SELECT FROM masters AS m WHERE m.account_id = d.account_id)))
    GROUP BY o.number ORDER BY o.number
"""


async def keep_account_deals(tx: AsyncConnection, label: int, deals: AccountDeals) -> None:
    """Stores those that are new, of accounts that are masters or were ever subscribed."""
    await fetch_arrays(
        tx,
        KEEP,
        label,
        deals.account_ids,
        deals.deal_tickets,
        deals.position_tickets,
        deals.actions,
        deals.entries,
        deals.symbols,
        deals.volumes_e8,
        deals.prices_e8,
        deals.profits_minor,
        deals.swaps_minor,
        deals.commissions_minor,
        deals.server_times_ms,
        deals.order_ids,
        deals.transfer_ids,
        deals.reasons,
        deals.times,
    )


async def keep_own_transfers(tx: AsyncConnection, label: int, source: str, transfer_ids: Int64Array) -> None:
    """From now on these are results, neither deposits nor withdrawals; see FLOWS for shares of profit."""
    await fetch_arrays(tx, KEEP_TRANSFERS, label, source, transfer_ids)


async def list_history(
    tx: AsyncConnection,
    label: int,
    scope: HistoryScope,
    wanted: HistoryFilter,
    *,
    before: DealPlace,
    limit: int,
) -> list[HistoryRow]:
    """Newest first, those before a place."""
    rows = await fetch_arrays(
        tx,
        LIST,
        label,
        scope.account_id,
        scope.subscription_id,
        scope.start_time,
        scope.end_time,
        wanted.start_server_time_ms,
        wanted.end_server_time_ms,
        list(map(int, wanted.entries)),
        *before,
        limit,
    )
    return [HistoryRow(**{**row, "entry": HistoryEntry(row["entry"])}) for row in rows]


async def load_trade_deals(
    tx: AsyncConnection, scopes: Sequence[HistoryScope], *, after: Sequence[DealPlace], limit: int
) -> list[tuple[list[TradeDeal], DealPlace | None]]:
    """Of each scope the next deals that opened or closed, at most `limit`, and the place of the last if there is more.

    All of the account: those that the scope does not see are not counted.
    """
    rows = await fetch_arrays(
        tx,
        TRADES,
        [scope.account_id for scope in scopes],
        [scope.subscription_id for scope in scopes],
        [scope.start_time for scope in scopes],
        [scope.end_time for scope in scopes],
        [server_time_ms for server_time_ms, _ in after],
        [deal_ticket for _, deal_ticket in after],
        limit,
    )
    return [
        (
            [TradeDeal._make(tuple(row)[1:-1]) for row in of],
            (of[-1]["server_time_ms"], of[-1]["deal_ticket"]) if len(of) == limit else None,
        )
        for of in split(rows, len(scopes))
    ]


async def load_flows(tx: AsyncConnection, account_ids: Sequence[int]) -> list[tuple[Int64Array, Int64Array]]:
    """Of each account in the order of time: (server times, deposits above 0 and withdrawals below).

    These are all balance operations and credits but the transfers of this house that trading itself caused: fees and
    shares of a master's profit. They earn and cost, so they belong to the return.
    """
    rows = await fetch_arrays(tx, FLOWS, account_ids)
    return [(from_aggregate(row["times_ms"]), from_aggregate(row["flows_minor"])) for row in rows]


def split(rows: Sequence[Any], count: int) -> list[Sequence[Any]]:
    """Records by their `number`, 1 to `count`, in which order they come."""
    bounds = np.searchsorted([row["number"] for row in rows], np.arange(1, count + 2)).tolist()
    return [rows[start:end] for start, end in pairwise(bounds)]
