"""The tables of the deals of accounts and of what is computed from them."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKeyConstraint, Index, PrimaryKeyConstraint, Table, text

from apportion.allocation.storage.tables import metadata
from apportion.storage.columns import bigint, bytea, integer, jsonb, smallint, string, timestamptz

# Every deal, trades and balance operations, of accounts that are masters or were ever subscribed.
account_deals = Table(
    "account_deals",
    metadata,
    bigint("account_id"),
    bigint("deal_ticket"),
    bigint("label"),
    bigint("position_ticket"),
    smallint("action"),  # 1 trade, 2 balance, 3 credit
    smallint("entry"),  # 0 balance operation, 1 in, 2 out, 3 in/out, 4 out by
    string("symbol"),
    bigint("volume_e8"),  # signed
    bigint("price_e8"),
    bigint("profit_minor"),  # of a balance operation its amount
    bigint("swap_minor"),
    bigint("commission_minor"),
    bigint("server_time_ms"),
    bigint("order_id"),  # of platform-groups; 0: none of ours
    bigint("transfer_id"),
    integer("reason"),  # MetaTrader's code
    timestamptz("deal_time"),  # when it happened by our clock
    PrimaryKeyConstraint("account_id", "deal_ticket", name="account_deals_pkey"),
    CheckConstraint("action BETWEEN 1 AND 3", name="account_deals_action_check"),
    CheckConstraint("entry BETWEEN 0 AND 4", name="account_deals_entry_check"),
    Index("account_deals_time_idx", "account_id", "server_time_ms", "deal_ticket"),
    Index("account_deals_transfer_idx", "transfer_id", postgresql_where=text("transfer_id <> 0")),
    # Rows come in the order of their time, so a block range index finds the oldest and costs a write nothing.
    Index("account_deals_deal_time_idx", "deal_time", postgresql_using="brin"),
)

# How often the deals of a master's account changed, or what they count as.
history_versions = Table(
    "history_versions",
    metadata,
    bigint("account_id"),
    bigint("version"),
    PrimaryKeyConstraint("account_id", name="history_versions_pkey"),
)

# Transfers that are results of trading, not deposits or withdrawals: fees and shares of profit.
own_transfers = Table(
    "own_transfers",
    metadata,
    bigint("transfer_id"),
    bigint("label"),
    string("source"),
    timestamptz("recorded_time", server_default=text("now()")),
    PrimaryKeyConstraint("transfer_id", name="own_transfers_pkey"),
    Index("own_transfers_recorded_time_idx", "recorded_time", postgresql_using="brin"),
)

# What accounts had at the first and at the last look of each server day.
equity_days = Table(
    "equity_days",
    metadata,
    bigint("account_id"),
    bigint("server_day"),  # since 1970
    bigint("label"),
    bigint("first_balance_minor"),
    bigint("first_equity_minor"),
    bigint("first_server_time_ms"),
    timestamptz("first_time"),
    bigint("last_balance_minor"),
    bigint("last_equity_minor"),
    bigint("last_server_time_ms"),
    timestamptz("last_time"),
    PrimaryKeyConstraint("account_id", "server_day", name="equity_days_pkey"),
    CheckConstraint("first_server_time_ms <= last_server_time_ms", name="equity_days_times_check"),
    Index("equity_days_first_time_idx", "first_time", postgresql_using="brin"),
)

# Figures of the masters on the leaderboard, computed now and then.
leaderboard_rows = Table(
    "leaderboard_rows",
    metadata,
    bigint("master_id"),
    integer("day_count"),  # the last so many server days; 0: all
    integer("age_day_count"),  # days of the whole history
    bigint("return_e8"),  # these are sorted by, the rest is in `statistics`
    bigint("max_drawdown_e8"),
    bigint("sharpe_e8", nullable=True),
    jsonb("statistics"),
    timestamptz("compute_time"),
    PrimaryKeyConstraint("day_count", "master_id", name="leaderboard_rows_pkey"),
    ForeignKeyConstraint(["master_id"], ["masters.master_id"], name="leaderboard_rows_master_fkey"),
    Index("leaderboard_rows_return_idx", "day_count", text("return_e8 DESC"), "master_id"),
    Index("leaderboard_rows_drawdown_idx", "day_count", text("(-max_drawdown_e8) DESC"), "master_id"),
    Index(
        "leaderboard_rows_sharpe_idx",
        "day_count",
        text("COALESCE(sharpe_e8, '-9223372036854775808'::bigint) DESC"),
        "master_id",
    ),
)

# What the figures of a master were computed from: they are computed again when this has changed.
leaderboard_inputs = Table(
    "leaderboard_inputs",
    metadata,
    bigint("master_id"),
    bigint("history_version"),
    bigint("server_day"),  # the newest
    bigint("equity_minor"),
    bytea("closed_trades"),  # sums by day as columns, so that the deals are not read again
    bigint("followers_equity_minor"),
    PrimaryKeyConstraint("master_id", name="leaderboard_inputs_pkey"),
    ForeignKeyConstraint(["master_id"], ["masters.master_id"], name="leaderboard_inputs_master_fkey"),
    Index("leaderboard_inputs_followers_idx", text("followers_equity_minor DESC"), "master_id"),
)
