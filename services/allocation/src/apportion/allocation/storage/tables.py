"""The tables of the allocation service."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    text,
)

from apportion.storage import infrastructure_tables
from apportion.storage.columns import (
    bigint,
    boolean,
    bytea,
    identity,
    integer,
    jsonb,
    smallint,
    string,
    strings,
    timestamptz,
)

metadata = MetaData()
infrastructure_tables(metadata)

masters = Table(
    "masters",
    metadata,
    identity("master_id"),
    bigint("label"),
    string("name"),
    smallint("account_type"),
    bigint("account_id"),
    bigint("account_login"),
    bigint("trading_server_id"),
    bigint("wallet_account_id"),
    string("currency_code"),
    smallint("currency_digits"),  # of its account, as the trading server counts
    smallint("method"),
    smallint("rounding"),
    boolean("listed_on_leaderboard"),
    bigint("min_follower_equity_minor"),
    strings("halt_causes"),
    bigint("halt_epoch"),
    bigint("set_version"),
    bigint("version"),
    bigint("active_subscription_count"),
    timestamptz("create_time"),
    smallint("allocation_mode"),
    string("artificial_symbol"),
    smallint("residual_rule"),
    PrimaryKeyConstraint("master_id", name="masters_pkey"),
    UniqueConstraint("label", "name", name="masters_name_key"),
    UniqueConstraint("label", "account_id", name="masters_account_key"),
    CheckConstraint("min_follower_equity_minor >= 0", name="masters_min_follower_equity_check"),
    CheckConstraint("active_subscription_count >= 0", name="masters_active_subscription_count_check"),
    CheckConstraint("allocation_mode IN (1, 2)", name="masters_allocation_mode_check"),
    CheckConstraint("residual_rule IN (1, 2)", name="masters_residual_rule_check"),
    CheckConstraint("currency_digits BETWEEN 0 AND 8", name="masters_currency_digits_check"),
    Index(
        "masters_followers_idx",
        "label",
        text("active_subscription_count DESC"),
        "master_id",
        postgresql_where=text("listed_on_leaderboard"),
    ),
)

# Distinct settings of subscriptions; a row never changes.
copy_settings = Table(
    "copy_settings",
    metadata,
    identity("copy_settings_id"),
    bytea("digest"),  # SHA-256 of the settings as they were encoded
    jsonb("settings"),
    PrimaryKeyConstraint("copy_settings_id", name="copy_settings_pkey"),
    UniqueConstraint("digest", name="copy_settings_digest_key"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    identity("subscription_id"),
    bigint("label"),
    bigint("master_id"),
    bigint("account_id"),
    bigint("account_login"),
    bigint("wallet_account_id"),
    boolean("active"),
    bigint("ratio_e8"),
    bigint("lot_e8"),
    bigint("percent_e8"),
    bigint("version"),
    timestamptz("create_time"),
    smallint("lot_mode", server_default="1"),
    bigint("copy_settings_id", server_default="1"),  # 1: all defaults
    smallint("state", server_default="1"),  # 1 running, 2 leaving, 3 ended
    timestamptz("end_time", nullable=True),
    boolean("nets", server_default="false"),  # its account has one position a symbol
    PrimaryKeyConstraint("subscription_id", name="subscriptions_pkey"),
    ForeignKeyConstraint(
        ["copy_settings_id"], ["copy_settings.copy_settings_id"], name="subscriptions_copy_settings_fkey"
    ),
    CheckConstraint("lot_mode BETWEEN 1 AND 4", name="subscriptions_lot_mode_check"),
    CheckConstraint("state BETWEEN 1 AND 3", name="subscriptions_state_check"),
    CheckConstraint("state = 1 OR NOT active", name="subscriptions_active_check"),
    Index("subscriptions_account_key", "master_id", "account_id", unique=True, postgresql_where=text("state < 3")),
    ForeignKeyConstraint(["master_id"], ["masters.master_id"], name="subscriptions_master_fkey"),
    CheckConstraint("ratio_e8 > 0", name="subscriptions_ratio_check"),
    Index("subscriptions_label_account_idx", "label", "account_id"),
    Index("subscriptions_nets_idx", "master_id", "account_id", postgresql_where=text("nets")),
    Index("subscriptions_leaving_idx", "subscription_id", postgresql_where=text("state = 2")),
)

# The subscriptions of a master at one version, kept once for all decisions made with it. A column in which all values
# are equal may be kept as one value.
subscription_sets = Table(
    "subscription_sets",
    metadata,
    bigint("master_id"),
    bigint("set_version"),
    integer("row_count"),
    bytea("subscription_ids"),  # int64, login order, as all columns here
    bytea("account_ids"),  # int64
    bytea("logins"),  # int64
    bytea("flags"),  # int8: 1 active
    bytea("ratios_e8"),  # int64
    bytea("lots_e8"),  # int64
    bytea("percents_e8"),  # int64
    bytea("modes"),  # int8
    bytea("settings_ids"),  # int64, of copy_settings
    PrimaryKeyConstraint("master_id", "set_version", name="subscription_sets_pkey"),
    ForeignKeyConstraint(["master_id"], ["masters.master_id"], name="subscription_sets_master_fkey"),
    CheckConstraint(
        "octet_length(subscription_ids) = row_count * 8 AND octet_length(account_ids) = row_count * 8"
        " AND octet_length(logins) = row_count * 8 AND octet_length(flags) IN (1, row_count)"
        " AND octet_length(ratios_e8) IN (8, row_count * 8) AND octet_length(lots_e8) IN (8, row_count * 8)"
        " AND octet_length(percents_e8) IN (8, row_count * 8) AND octet_length(modes) IN (1, row_count)"
        " AND octet_length(settings_ids) IN (8, row_count * 8)",
        name="subscription_sets_length_check",
    ),
)

# Durable decisions: one columnar row each, with the inputs it was computed from.
allocations = Table(
    "allocations",
    metadata,
    identity("allocation_id"),
    bigint("label"),
    bigint("master_id"),
    smallint("kind"),  # 1 open, 2 close, 3 modify
    bigint("deal_ticket"),
    integer("wave"),  # 0 the decision on the deal; above: what it left over; of kind 3 a count
    bigint("position_ticket"),
    string("symbol"),
    bigint("master_volume_e8"),  # signed: above 0 bought
    bigint("before_volume_e8"),  # open on the master before a close
    bigint("price_e8"),
    bigint("server_time_ms"),
    smallint("method"),
    smallint("rounding"),
    bigint("volume_step_e8"),
    bigint("min_volume_e8"),
    bigint("max_volume_e8"),
    bigint("master_basis"),
    smallint("blanket_reason"),  # kept everybody out
    bigint("set_version"),
    bigint("halt_epoch"),
    integer("row_count"),
    integer("child_count"),
    integer("skipped_count"),
    bigint("volume_unit_e8"),  # volumes count these
    bigint("unit_sum"),  # sum of volumes
    smallint("volume_bytes"),
    bytea("volumes"),  # int8 to int64 magnitudes
    smallint("reason_bytes", server_default="1"),
    # int8 of each row, or (5 bytes) int32 numbers of the rows that have one, then theirs; empty: nobody has one
    bytea("reasons"),
    smallint("basis_bytes"),
    bytea("bases"),  # int8 to int64, empty when the method uses none
    bytea("child_trade_ids"),  # int64, of children that exist; those of a first open follow from its id
    bytea("position_tickets"),  # int64, of the same; 0: has no position yet, of a close: is not sent; -1: names none
    timestamptz("decide_time"),
    timestamptz("not_after_time", nullable=True),
    smallint("dispatch_state"),  # 1 pending, 2 started, 3 done, 4 cancelled
    timestamptz("dispatch_time", nullable=True),
    timestamptz("projected_time", nullable=True),  # when its child_trades rows were made
    bigint("contract_size_e8", server_default="0"),  # 0, as the next: not known, or not needed
    bigint("conversion_e8", server_default="0"),
    smallint("currency_digits", server_default="2"),
    bigint("point_e8", server_default="0"),
    bigint("stop_loss_e8", server_default="0"),  # of the master's trade; 0: none
    bigint("take_profit_e8", server_default="0"),
    bytea("figures", server_default=""),  # MessagePack of further columns, empty without any
    bigint("subscription_id", server_default="0"),  # whom an open is for; 0: all of the set
    integer("reason_mask", server_default="0"),  # 1 << each reason that a row has
    smallint("mode", server_default="1"),  # 1 trades, 2 profit
    bigint("age_ms", server_default="0"),  # of an open: how old the master's trade was when it was decided on
    PrimaryKeyConstraint("allocation_id", name="allocations_pkey"),
    UniqueConstraint("master_id", "deal_ticket", "kind", "wave", name="allocations_deal_key"),
    ForeignKeyConstraint(["master_id"], ["masters.master_id"], name="allocations_master_fkey"),
    CheckConstraint(
        "volume_bytes IN (1, 2, 4, 8) AND octet_length(volumes) = row_count * volume_bytes",
        name="allocations_volumes_check",
    ),
    CheckConstraint(
        "CASE reason_bytes WHEN 1 THEN octet_length(reasons) IN (0, row_count)"
        " WHEN 5 THEN octet_length(reasons) % 5 = 0 ELSE false END",
        name="allocations_reasons_check",
    ),
    CheckConstraint(
        "basis_bytes IN (0, 1, 2, 4, 8) AND octet_length(bases) = row_count * basis_bytes",
        name="allocations_bases_check",
    ),
    CheckConstraint(
        "octet_length(child_trade_ids) IN (row_count * 8, CASE WHEN kind = 1 THEN 0 ELSE row_count * 8 END)"
        " AND octet_length(position_tickets) = octet_length(child_trade_ids)",
        name="allocations_child_trade_ids_check",
    ),
    CheckConstraint("child_count + skipped_count = row_count", name="allocations_counts_check"),
    CheckConstraint("mode IN (1, 2)", name="allocations_mode_check"),
    CheckConstraint(
        "unit_sum >= 0 AND (kind <> 1 OR method > 5 OR unit_sum * volume_unit_e8 <= abs(master_volume_e8))",
        name="allocations_sum_check",
    ),
    Index("allocations_master_idx", "master_id", "allocation_id"),
    Index("allocations_position_idx", "master_id", "position_ticket"),
    Index("allocations_label_idx", "label", "allocation_id"),
    Index("allocations_undispatched_idx", "allocation_id", postgresql_where=text("dispatch_state < 3")),
    Index("allocations_unprojected_idx", "allocation_id", postgresql_where=text("projected_time IS NULL AND kind = 1")),
)

# What subscriptions are owed from rounding by the CARRY policy.
carries = Table(
    "carries",
    metadata,
    bigint("master_id"),
    string("symbol"),
    bytea("subscription_ids"),  # int64, sorted
    bytea("carries_e8"),  # int64: above 0 is owed
    PrimaryKeyConstraint("master_id", "symbol", name="carries_pkey"),
    ForeignKeyConstraint(["master_id"], ["masters.master_id"], name="carries_master_fkey"),
    CheckConstraint("octet_length(subscription_ids) = octet_length(carries_e8)", name="carries_length_check"),
)

master_positions = Table(
    "master_positions",
    metadata,
    bigint("master_id"),
    bigint("position_ticket"),
    bigint("open_volume_e8"),  # signed
    bigint("last_closing_deal_ticket"),  # 0: nothing closed yet
    bigint("stop_loss_e8", server_default="0"),  # the newest; 0: none
    bigint("take_profit_e8", server_default="0"),
    PrimaryKeyConstraint("master_id", "position_ticket", name="master_positions_pkey"),
    ForeignKeyConstraint(["master_id"], ["masters.master_id"], name="master_positions_master_fkey"),
    Index("master_positions_open_idx", "master_id", postgresql_where=text("open_volume_e8 <> 0")),
)

# One row per child, made behind the decision.
child_trades = Table(
    "child_trades",
    metadata,
    bigint("child_trade_id"),  # allocation id × 2^20 + index in login order
    bigint("label"),
    bigint("allocation_id"),
    bigint("master_id"),
    bigint("subscription_id"),
    bigint("account_id"),
    string("symbol"),
    bigint("master_position_ticket"),
    smallint("state"),
    string("reason"),
    smallint("direction"),  # 1 bought, -1 sold; volumes are magnitudes
    bigint("volume_e8"),  # decided; 0 on a netting account: what a close did too much, decided by nobody
    bigint("target_volume_e8"),  # what is to be open after all master closes so far
    bigint("filled_volume_e8"),
    bigint("open_volume_e8"),
    bigint("closing_volume_e8"),  # ordered to close, not yet ended by a deal or refusal
    bigint("open_price_e8"),
    bigint("position_ticket"),  # 0 while unknown
    timestamptz("create_time"),
    bigint("stop_loss_e8", server_default="0"),  # as last ordered; 0: none
    bigint("take_profit_e8", server_default="0"),
    bigint("follow_up_id", server_default="0"),  # the decision that opens it again; 0: there is none
    smallint("retry_count", server_default="0"),  # how often it was opened again
    timestamptz("retry_time", nullable=True),  # when it is to be opened again; null: it is not
    bigint("proportion_e9", server_default="0"),  # of an artificial record; 0: a trade
    smallint("skip_reason", server_default="0"),  # why it was decided to be less than its share; 0: it is not
    boolean("nets", server_default="false"),  # on a netting account: its position is that of others, too
    PrimaryKeyConstraint("child_trade_id", name="child_trades_pkey"),
    CheckConstraint("direction IN (-1, 1)", name="child_trades_direction_check"),
    CheckConstraint(
        "(volume_e8 > 0 OR (volume_e8 = 0 AND (proportion_e9 > 0 OR nets))) AND target_volume_e8 >= 0"
        " AND closing_volume_e8 >= 0 AND open_volume_e8 >= 0 AND open_volume_e8 <= filled_volume_e8",
        name="child_trades_volumes_check",
    ),
    Index("child_trades_master_position_idx", "master_id", "master_position_ticket"),
    Index("child_trades_subscription_idx", "subscription_id", "child_trade_id"),
    Index("child_trades_label_idx", "label", "child_trade_id"),
    Index(
        "child_trades_open_account_idx", "account_id", "position_ticket", postgresql_where=text("open_volume_e8 > 0")
    ),
    Index(
        "child_trades_open_master_idx",
        "master_id",
        "master_position_ticket",
        postgresql_where=text("open_volume_e8 > 0"),
    ),
    Index(
        "child_trades_position_key",
        "account_id",
        "position_ticket",
        unique=True,
        postgresql_where=text("position_ticket <> 0 AND NOT nets"),
    ),
    Index(
        "child_trades_excess_idx",
        "master_id",
        postgresql_where=text("open_volume_e8 > target_volume_e8 AND closing_volume_e8 = 0"),
    ),
    Index("child_trades_retry_idx", "retry_time", postgresql_where=text("retry_time IS NOT NULL")),
    Index(
        "child_trades_net_idx",
        "account_id",
        "symbol",
        postgresql_where=text("nets AND (open_volume_e8 > 0 OR state = 1)"),
    ),
    # Not all was opened.
    Index(
        "child_trades_short_idx",
        "master_id",
        "master_position_ticket",
        postgresql_where=text("filled_volume_e8 < volume_e8 AND state NOT IN (1, 8)"),
    ),
    Index("child_trades_pending_idx", "master_id", "allocation_id", postgresql_where=text("state = 1")),
    Index(
        "child_trades_skip_reason_idx",
        "label",
        "skip_reason",
        "child_trade_id",
        postgresql_where=text("skip_reason <> 0"),
    ),
)

# Open children whose newest stops were refused for a passing reason.
stop_retries = Table(
    "stop_retries",
    metadata,
    bigint("child_trade_id"),
    bigint("label"),
    bigint("master_id"),
    bigint("master_position_ticket"),
    timestamptz("first_time"),  # when these stops were decided first
    timestamptz("retry_time", nullable=True),  # when they are to be sent again; null: they are on their way
    smallint("retry_count"),  # how often they were sent again
    PrimaryKeyConstraint("child_trade_id", name="stop_retries_pkey"),
    ForeignKeyConstraint(["child_trade_id"], ["child_trades.child_trade_id"], name="stop_retries_child_fkey"),
    Index("stop_retries_time_idx", "retry_time", postgresql_where=text("retry_time IS NOT NULL")),
)

# Closing deals on subscribed accounts, each once: the truth about what of a child is open.
closing_deals = Table(
    "closing_deals",
    metadata,
    bigint("account_id"),
    bigint("deal_ticket"),
    bigint("label"),
    bigint("position_ticket"),
    bigint("volume_e8"),  # above 0
    bigint("price_e8"),
    bigint("server_time_ms"),
    boolean("ordered"),  # caused by an order of platform-groups
    bigint("child_trade_id", nullable=True),  # null until the position is known to be a child's
    PrimaryKeyConstraint("account_id", "deal_ticket", name="closing_deals_pkey"),
    CheckConstraint("volume_e8 > 0", name="closing_deals_volume_check"),
    Index(
        "closing_deals_unmatched_idx",
        "account_id",
        "position_ticket",
        postgresql_where=text("child_trade_id IS NULL"),
    ),
)
