"""What accounts had at the first and at the last look of each server day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.accounts import AccountStates
from apportion.allocation.domain.equity_days import Looks
from apportion.allocation.domain.history import HistoryScope
from apportion.allocation.storage.packing import from_aggregate
from apportion.storage import fetch_arrays

SERVERS = text("SELECT DISTINCT trading_server_id FROM masters ORDER BY trading_server_id")
# In the order of the key, so that two writers that meet wait for one another.
SAMPLE = """
    INSERT INTO equity_days AS e
        (label, account_id, server_day, first_balance_minor, first_equity_minor, first_server_time_ms, first_time,
         last_balance_minor, last_equity_minor, last_server_time_ms, last_time)
    SELECT f.label, s.account_id, $2::bigint / 86400000, s.balance_minor, s.equity_minor, $2, $3::timestamptz,
           s.balance_minor, s.equity_minor, $2, $3
    FROM unnest($4::bigint[], $5::bigint[], $6::bigint[]) AS s (account_id, balance_minor, equity_minor)
    JOIN (
        SELECT label, account_id FROM masters WHERE trading_server_id = $1
        UNION
        SELECT s.label, s.account_id FROM subscriptions AS s JOIN masters AS m ON m.master_id = s.master_id
        WHERE m.trading_server_id = $1 AND s.state < 3
    ) AS f ON f.account_id = s.account_id
    ORDER BY s.account_id
    ON CONFLICT ON CONSTRAINT equity_days_pkey DO UPDATE
    SET last_balance_minor = excluded.last_balance_minor, last_equity_minor = excluded.last_equity_minor,
        last_server_time_ms = excluded.last_server_time_ms, last_time = excluded.last_time
    WHERE (excluded.last_server_time_ms, excluded.last_time) > (e.last_server_time_ms, e.last_time)
"""
LOAD = """
    SELECT o.number, (array_agg(e.first_server_time_ms ORDER BY e.server_day))[1] AS first_server_time_ms,
           (array_agg(e.first_equity_minor ORDER BY e.server_day))[1] AS first_equity_minor,
           string_agg(int8send(e.last_server_time_ms), '' ORDER BY e.server_day) AS last_server_times_ms,
           string_agg(int8send(e.last_balance_minor), '' ORDER BY e.server_day) AS balances_minor,
           string_agg(int8send(e.last_equity_minor), '' ORDER BY e.server_day) AS equities_minor
    FROM unnest($1::bigint[], $2::timestamptz[], $3::timestamptz[])
        WITH ORDINALITY AS o (account_id, start_time, end_time, number)
    LEFT JOIN equity_days AS e
        ON e.account_id = o.account_id AND (o.start_time IS NULL OR e.last_time >= o.start_time)
       AND (o.end_time IS NULL OR e.first_time < o.end_time)
    GROUP BY o.number ORDER BY o.number
"""


async def list_trading_servers(tx: AsyncConnection) -> list[int]:
    """Those that have masters."""
    return list((await tx.execute(SERVERS)).scalars())


async def sample_equities(tx: AsyncConnection, trading_server_id: int, states: AccountStates) -> None:
    """Notes the states of masters' and followers' accounts of a server, where they are newer than the stored ones."""
    await fetch_arrays(
        tx,
        SAMPLE,
        trading_server_id,
        states.server_time_ms,
        states.observed_time,
        states.account_ids,
        states.balances_minor,
        states.equities_minor,
    )


async def load_looks(tx: AsyncConnection, scopes: Sequence[HistoryScope]) -> list[Looks | None]:
    """Of each scope; None: its account was not seen yet."""
    starts: list[datetime | None] = [scope.start_time for scope in scopes]
    ends: list[datetime | None] = [scope.end_time for scope in scopes]
    rows = await fetch_arrays(tx, LOAD, [scope.account_id for scope in scopes], starts, ends)
    return [
        None
        if row["first_server_time_ms"] is None
        else Looks(
            row["first_server_time_ms"],
            row["first_equity_minor"],
            from_aggregate(row["last_server_times_ms"]),
            from_aggregate(row["balances_minor"]),
            from_aggregate(row["equities_minor"]),
        )
        for row in rows
    ]
