"""The figures of the leaderboard, and what they were computed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.closed_trades import ClosedTrades
from apportion.allocation.domain.history import HistoryScope
from apportion.allocation.domain.leaderboard import (
    LeaderboardFigures,
    LeaderboardFilter,
    LeaderboardInput,
    LeaderboardOrder,
    LeaderboardRow,
    ListedMaster,
)
from apportion.allocation.domain.methods import AccountType
from apportion.allocation.domain.statistics import Statistics
from apportion.storage import fetch_arrays

LISTED = """
    SELECT *, is_computed AND (history_version, server_day) = (old_version, old_day) AS has_trades,
           NOT is_computed OR (history_version, server_day, equity_minor) <> (old_version, old_day, old_equity)
               AS is_changed
    FROM (
        SELECT m.master_id, m.account_id, m.currency_code, m.active_subscription_count,
               coalesce(v.version, 0) AS history_version,
               coalesce(e.server_day, 0) AS server_day, coalesce(e.last_equity_minor, 0) AS equity_minor,
               i.master_id IS NOT NULL AS is_computed, i.history_version AS old_version, i.server_day AS old_day,
               i.equity_minor AS old_equity
        FROM masters AS m
        LEFT JOIN leaderboard_inputs AS i ON i.master_id = m.master_id
        LEFT JOIN history_versions AS v ON v.account_id = m.account_id
        LEFT JOIN LATERAL (
            SELECT e.server_day, e.last_equity_minor FROM equity_days AS e
            WHERE e.account_id = m.account_id ORDER BY e.server_day DESC LIMIT 1
        ) AS e ON true
        WHERE m.listed_on_leaderboard AND m.master_id > $1 ORDER BY m.master_id LIMIT $2
    ) AS listed
    ORDER BY master_id
"""
TRADES = "SELECT master_id, closed_trades FROM leaderboard_inputs WHERE master_id = ANY($1::bigint[])"
SAVE_INPUTS = """
    INSERT INTO leaderboard_inputs
        (master_id, history_version, server_day, equity_minor, closed_trades, followers_equity_minor)
    SELECT n.*, 0 FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[]) AS n
    ON CONFLICT ON CONSTRAINT leaderboard_inputs_pkey DO UPDATE
    SET history_version = excluded.history_version, server_day = excluded.server_day,
        equity_minor = excluded.equity_minor, closed_trades = excluded.closed_trades
"""
SAVE_FOLLOWERS = """
    UPDATE leaderboard_inputs AS i SET followers_equity_minor = f.equity_minor
    FROM (
        SELECT o.master_id, coalesce(sum(e.last_equity_minor), 0)::bigint AS equity_minor
        FROM unnest($1::bigint[]) AS o (master_id)
        LEFT JOIN subscriptions AS s ON s.master_id = o.master_id AND s.active
        LEFT JOIN LATERAL (
            SELECT e.last_equity_minor FROM equity_days AS e
            WHERE e.account_id = s.account_id ORDER BY e.server_day DESC LIMIT 1
        ) AS e ON true
        GROUP BY o.master_id
    ) AS f
    WHERE f.master_id = i.master_id AND f.equity_minor <> i.followers_equity_minor
"""
SAVE = """
    INSERT INTO leaderboard_rows AS r
        (compute_time, master_id, day_count, age_day_count, return_e8, max_drawdown_e8, sharpe_e8, statistics)
    SELECT $1::timestamptz, n.*
    FROM unnest($2::bigint[], $3::integer[], $4::integer[], $5::bigint[], $6::bigint[], $7::bigint[], $8::jsonb[]) AS n
    ON CONFLICT ON CONSTRAINT leaderboard_rows_pkey DO UPDATE
    SET age_day_count = excluded.age_day_count, return_e8 = excluded.return_e8,
        max_drawdown_e8 = excluded.max_drawdown_e8, sharpe_e8 = excluded.sharpe_e8, statistics = excluded.statistics,
        compute_time = excluded.compute_time
    WHERE (r.age_day_count, r.statistics) IS DISTINCT FROM (excluded.age_day_count, excluded.statistics)
"""
KEYS: Mapping[LeaderboardOrder, str] = {
    LeaderboardOrder.RETURN: "r.return_e8",
    LeaderboardOrder.DRAWDOWN: "-r.max_drawdown_e8",
    LeaderboardOrder.SHARPE: "coalesce(r.sharpe_e8, '-9223372036854775808'::bigint)",
    LeaderboardOrder.FOLLOWERS: "m.active_subscription_count",
    LeaderboardOrder.FOLLOWERS_EQUITY: "i.followers_equity_minor",
}
JOIN_INPUTS = "JOIN leaderboard_inputs AS i ON i.master_id = r.master_id"
# The figures are read of those on the page only.
LIST = f"""
    SELECT p.*, i.followers_equity_minor, r.age_day_count, r.statistics::text AS statistics
    FROM (
        SELECT m.master_id, m.name, m.account_type, m.currency_code, m.active_subscription_count, {{key}} AS sort_key
        FROM leaderboard_rows AS r
        JOIN masters AS m ON m.master_id = r.master_id
        {{key_join}}
        WHERE m.label = $1 AND m.listed_on_leaderboard AND r.day_count = $2
          AND ($3::smallint = 0 OR m.account_type = $3) AND ($4::text = '' OR m.currency_code = $4)
          AND ($5::bigint = 0 OR r.return_e8 >= $5) AND ($6::bigint = 0 OR r.max_drawdown_e8 <= $6)
          AND r.age_day_count >= $7 AND ({{key}} < $8::bigint OR ({{key}} = $8 AND m.master_id > $9::bigint))
        ORDER BY sort_key DESC, m.master_id LIMIT $10
    ) AS p
    JOIN leaderboard_rows AS r ON r.master_id = p.master_id AND r.day_count = $2
    {JOIN_INPUTS}
    ORDER BY p.sort_key DESC, p.master_id
"""


async def list_listed(tx: AsyncConnection, *, after: int, limit: int) -> list[ListedMaster]:
    """Masters of all labels that may be seen, in the order of their ids."""
    rows = await fetch_arrays(tx, LISTED, after, limit)
    kept = [row["master_id"] for row in rows if row["is_changed"] and row["has_trades"]]
    trades = {row["master_id"]: _unpack(row["closed_trades"]) for row in await fetch_arrays(tx, TRADES, kept)}
    return [
        ListedMaster(
            row["master_id"],
            HistoryScope(row["account_id"], row["currency_code"]),
            row["active_subscription_count"],
            LeaderboardInput(row["history_version"], row["server_day"], row["equity_minor"]),
            row["is_changed"],
            trades.get(row["master_id"]),
        )
        for row in rows
    ]


async def save_inputs(tx: AsyncConnection, computed: Sequence[tuple[ListedMaster, ClosedTrades]]) -> None:
    """What figures were computed from."""
    await fetch_arrays(
        tx,
        SAVE_INPUTS,
        [master.master_id for master, _ in computed],
        [master.newest.history_version for master, _ in computed],
        [master.newest.server_day for master, _ in computed],
        [master.newest.equity_minor for master, _ in computed],
        [np.stack(trades.columns).tobytes() for _, trades in computed],
    )


async def save_followers_equities(tx: AsyncConnection, master_ids: Sequence[int]) -> None:
    """Sums of the newest equities of active subscriptions; those that did not change are not written."""
    await fetch_arrays(tx, SAVE_FOLLOWERS, master_ids)


async def save_figures(tx: AsyncConnection, figures: Sequence[LeaderboardFigures], *, now: datetime) -> None:
    """All of them in one statement; those that did not change are not written."""
    await fetch_arrays(
        tx,
        SAVE,
        now,
        [row.master_id for row in figures],
        [row.day_count for row in figures],
        [row.age_day_count for row in figures],
        [row.statistics.time_weighted_return_e8 for row in figures],
        [row.statistics.max_drawdown_e8 for row in figures],
        [row.statistics.sharpe_e8 for row in figures],
        [msgspec.json.encode(row.statistics).decode() for row in figures],
    )


async def list_leaderboard(
    tx: AsyncConnection,
    label: int,
    order: LeaderboardOrder,
    wanted: LeaderboardFilter,
    *,
    after: tuple[int, int],
    limit: int,
) -> list[LeaderboardRow]:
    """The best first, those behind (sort key, master id)."""
    rows = await fetch_arrays(
        tx,
        LIST.format(key=KEYS[order], key_join=JOIN_INPUTS if order is LeaderboardOrder.FOLLOWERS_EQUITY else ""),
        label,
        wanted.day_count,
        wanted.account_type or 0,
        wanted.currency_code,
        wanted.min_return_e8,
        wanted.max_drawdown_e8,
        wanted.min_day_count,
        *after,
        limit,
    )
    return [
        LeaderboardRow(
            row["master_id"],
            row["name"],
            AccountType(row["account_type"]),
            row["currency_code"],
            row["active_subscription_count"],
            row["followers_equity_minor"],
            row["age_day_count"],
            msgspec.json.decode(row["statistics"], type=Statistics),
            row["sort_key"],
        )
        for row in rows
    ]


def _unpack(packed: bytes) -> ClosedTrades:
    return ClosedTrades(*np.frombuffer(packed, dtype=np.int64).reshape(len(ClosedTrades.__slots__), -1))
