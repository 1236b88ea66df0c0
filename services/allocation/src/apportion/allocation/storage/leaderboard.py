"""The figures of the leaderboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.history import HistoryScope
from apportion.allocation.domain.leaderboard import (
    LeaderboardFigures,
    LeaderboardFilter,
    LeaderboardOrder,
    LeaderboardRow,
)
from apportion.allocation.domain.methods import AccountType
from apportion.allocation.domain.statistics import Statistics
from apportion.storage import fetch_arrays

LISTED = text(
    """
    SELECT master_id, account_id, currency_code FROM masters
    WHERE listed_on_leaderboard AND master_id > :after ORDER BY master_id LIMIT :limit
    """
)
FOLLOWERS = """
    SELECT s.master_id, sum(e.last_equity_minor)::bigint AS equity_minor
    FROM subscriptions AS s
    CROSS JOIN LATERAL (
        SELECT e.last_equity_minor FROM equity_days AS e
        WHERE e.account_id = s.account_id ORDER BY e.server_day DESC LIMIT 1
    ) AS e
    WHERE s.master_id = ANY($1::bigint[]) AND s.active GROUP BY s.master_id
"""
SAVE = """
    INSERT INTO leaderboard_rows
        (compute_time, master_id, day_count, age_day_count, return_e8, max_drawdown_e8, sharpe_e8,
         followers_equity_minor, statistics)
    SELECT $1::timestamptz, n.*
    FROM unnest($2::bigint[], $3::integer[], $4::integer[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
                $9::jsonb[]) AS n
    ON CONFLICT ON CONSTRAINT leaderboard_rows_pkey DO UPDATE
    SET age_day_count = excluded.age_day_count, return_e8 = excluded.return_e8,
        max_drawdown_e8 = excluded.max_drawdown_e8, sharpe_e8 = excluded.sharpe_e8,
        followers_equity_minor = excluded.followers_equity_minor, statistics = excluded.statistics,
        compute_time = excluded.compute_time
"""
KEYS: Mapping[LeaderboardOrder, str] = {
    LeaderboardOrder.RETURN: "r.return_e8",
    LeaderboardOrder.DRAWDOWN: "-r.max_drawdown_e8",
    LeaderboardOrder.SHARPE: "coalesce(r.sharpe_e8, -9223372036854775808)",
    LeaderboardOrder.FOLLOWERS: "m.active_subscription_count",
    LeaderboardOrder.FOLLOWERS_EQUITY: "r.followers_equity_minor",
}
LIST = """
    SELECT m.master_id, m.name, m.account_type, m.currency_code, m.active_subscription_count, r.followers_equity_minor,
           r.statistics::text AS statistics, {key} AS sort_key
    FROM leaderboard_rows AS r JOIN masters AS m ON m.master_id = r.master_id
    WHERE m.label = $1 AND m.listed_on_leaderboard AND r.day_count = $2 AND ($3::smallint = 0 OR m.account_type = $3)
      AND ($4::text = '' OR m.currency_code = $4) AND ($5::bigint = 0 OR r.return_e8 >= $5)
      AND ($6::bigint = 0 OR r.max_drawdown_e8 <= $6) AND r.age_day_count >= $7
      AND ({key} < $8::bigint OR ({key} = $8 AND m.master_id > $9::bigint))
    ORDER BY sort_key DESC, m.master_id LIMIT $10
"""


async def list_listed(tx: AsyncConnection, *, after: int, limit: int) -> dict[int, HistoryScope]:
    """Masters of all labels that may be seen, by id."""
    rows = await tx.execute(LISTED, {"after": after, "limit": limit})
    return {row.master_id: HistoryScope(row.account_id, row.currency_code) for row in rows}


async def load_followers_equities(tx: AsyncConnection, master_ids: Sequence[int]) -> dict[int, int]:
    """Sums over the active subscriptions, minor units; a master without any that was seen is absent."""
    return {row["master_id"]: row["equity_minor"] for row in await fetch_arrays(tx, FOLLOWERS, master_ids)}


async def save_figures(tx: AsyncConnection, figures: Sequence[LeaderboardFigures], *, now: datetime) -> None:
    """All of them in one statement."""
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
        [row.followers_equity_minor for row in figures],
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
        LIST.format(key=KEYS[order]),
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
            msgspec.json.decode(row["statistics"], type=Statistics),
            row["sort_key"],
        )
        for row in rows
    ]
