"""The tables of the allocation service."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from apportion.storage import infrastructure_tables

metadata = MetaData()
infrastructure_tables(metadata)

masters = Table(
    "masters",
    metadata,
    Column("master_id", BigInteger, Identity(always=True), nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("account_type", SmallInteger, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("account_login", BigInteger, nullable=False),
    Column("trading_server_id", BigInteger, nullable=False),
    Column("wallet_account_id", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("method", SmallInteger, nullable=False),
    Column("rounding", SmallInteger, nullable=False),
    Column("listed_on_leaderboard", Boolean, nullable=False),
    Column("min_follower_equity_minor", BigInteger, nullable=False),
    Column("halt_causes", ARRAY(Text), nullable=False),
    Column("halt_epoch", BigInteger, nullable=False),
    Column("set_version", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("active_subscription_count", BigInteger, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("allocation_mode", SmallInteger, nullable=False),
    Column("artificial_symbol", Text, nullable=False),
    Column("residual_rule", SmallInteger, nullable=False),
    PrimaryKeyConstraint("master_id", name="masters_pkey"),
    UniqueConstraint("label", "name", name="masters_name_key"),
    UniqueConstraint("label", "account_id", name="masters_account_key"),
    CheckConstraint("min_follower_equity_minor >= 0", name="masters_min_follower_equity_check"),
    CheckConstraint("active_subscription_count >= 0", name="masters_active_subscription_count_check"),
    CheckConstraint("allocation_mode IN (1, 2)", name="masters_allocation_mode_check"),
    CheckConstraint("residual_rule IN (1, 2)", name="masters_residual_rule_check"),
)

# Distinct settings of subscriptions; a row never changes.
copy_settings = Table(
    "copy_settings",
    metadata,
    Column("copy_settings_id", BigInteger, Identity(always=True), nullable=False),
    Column("digest", LargeBinary, nullable=False),  # SHA-256 of the settings as they were encoded
    Column("settings", JSONB, nullable=False),
    PrimaryKeyConstraint("copy_settings_id", name="copy_settings_pkey"),
    UniqueConstraint("digest", name="copy_settings_digest_key"),
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("subscription_id", BigInteger, Identity(always=True), nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("master_id", BigInteger, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("account_login", BigInteger, nullable=False),
    Column("wallet_account_id", BigInteger, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("ratio_e8", BigInteger, nullable=False),
    Column("lot_e8", BigInteger, nullable=False),
    Column("percent_e8", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    Column("lot_mode", SmallInteger, nullable=False, server_default="1"),
    Column("copy_settings_id", BigInteger, nullable=False, server_default="1"),  # 1: all defaults
    Column("state", SmallInteger, nullable=False, server_default="1"),  # 1 running, 2 leaving, 3 ended
    Column("end_time", DateTime(timezone=True)),
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
)

# The subscriptions of a master at one version, kept once for all decisions made with it. A column in which all values
# are equal may be kept as one value.
subscription_sets = Table(
    "subscription_sets",
    metadata,
    Column("master_id", BigInteger, nullable=False),
    Column("set_version", BigInteger, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("subscription_ids", LargeBinary, nullable=False),  # int64, login order, as all columns here
    Column("account_ids", LargeBinary, nullable=False),  # int64
    Column("logins", LargeBinary, nullable=False),  # int64
    Column("flags", LargeBinary, nullable=False),  # int8: 1 active
    Column("ratios_e8", LargeBinary, nullable=False),  # int64
    Column("lots_e8", LargeBinary, nullable=False),  # int64
    Column("percents_e8", LargeBinary, nullable=False),  # int64
    Column("modes", LargeBinary, nullable=False),  # int8
    Column("settings_ids", LargeBinary, nullable=False),  # int64, of copy_settings
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
    Column("allocation_id", BigInteger, Identity(always=True), nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("master_id", BigInteger, nullable=False),
    Column("kind", SmallInteger, nullable=False),  # 1 open, 2 close
    Column("deal_ticket", BigInteger, nullable=False),
    Column("wave", SmallInteger, nullable=False),  # 0 the decision on the deal; above: what it left over
    Column("position_ticket", BigInteger, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("master_volume_e8", BigInteger, nullable=False),  # signed: above 0 bought
    Column("before_volume_e8", BigInteger, nullable=False),  # open on the master before a close
    Column("price_e8", BigInteger, nullable=False),
    Column("server_time_ms", BigInteger, nullable=False),
    Column("method", SmallInteger, nullable=False),
    Column("rounding", SmallInteger, nullable=False),
    Column("volume_step_e8", BigInteger, nullable=False),
    Column("min_volume_e8", BigInteger, nullable=False),
    Column("max_volume_e8", BigInteger, nullable=False),
    Column("master_basis", BigInteger, nullable=False),
    Column("blanket_reason", SmallInteger, nullable=False),  # kept everybody out
    Column("set_version", BigInteger, nullable=False),
    Column("halt_epoch", BigInteger, nullable=False),
    Column("row_count", Integer, nullable=False),
    Column("child_count", Integer, nullable=False),
    Column("skipped_count", Integer, nullable=False),
    Column("volume_unit_e8", BigInteger, nullable=False),  # volumes count these
    Column("unit_sum", BigInteger, nullable=False),  # sum of volumes
    Column("volume_bytes", SmallInteger, nullable=False),
    Column("volumes", LargeBinary, nullable=False),  # int8 to int64 magnitudes
    Column("reason_bytes", SmallInteger, nullable=False, server_default="1"),
    # int8 of each row, or (5 bytes) int32 numbers of the rows that have one, then theirs; empty: nobody has one
    Column("reasons", LargeBinary, nullable=False),
    Column("basis_bytes", SmallInteger, nullable=False),
    Column("bases", LargeBinary, nullable=False),  # int8 to int64, empty when the method uses none
    Column("child_trade_ids", LargeBinary, nullable=False),  # int64, of closes; an open's follow from its id
    Column("position_tickets", LargeBinary, nullable=False),  # int64, of closes; 0: had no position yet, is not sent
    Column("decide_time", DateTime(timezone=True), nullable=False),
    Column("not_after_time", DateTime(timezone=True)),
    Column("dispatch_state", SmallInteger, nullable=False),  # 1 pending, 2 started, 3 done, 4 cancelled
    Column("dispatch_time", DateTime(timezone=True)),
    Column("projected_time", DateTime(timezone=True)),  # when its child_trades rows were made
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
        "octet_length(child_trade_ids) = CASE WHEN kind = 2 OR wave > 0 THEN row_count * 8 ELSE 0 END"
        " AND octet_length(position_tickets) = octet_length(child_trade_ids)",
        name="allocations_child_trade_ids_check",
    ),
    CheckConstraint("child_count + skipped_count = row_count", name="allocations_counts_check"),
    CheckConstraint(
        "unit_sum >= 0 AND (kind = 2 OR method > 5 OR unit_sum * volume_unit_e8 <= abs(master_volume_e8))",
        name="allocations_sum_check",
    ),
    Index("allocations_master_idx", "master_id", "allocation_id"),
    Index("allocations_position_idx", "master_id", "position_ticket"),
    Index("allocations_label_idx", "label", "allocation_id"),
    Index("allocations_undispatched_idx", "allocation_id", postgresql_where=text("dispatch_state < 3")),
    Index("allocations_unprojected_idx", "allocation_id", postgresql_where=text("projected_time IS NULL AND kind = 1")),
)

master_positions = Table(
    "master_positions",
    metadata,
    Column("master_id", BigInteger, nullable=False),
    Column("position_ticket", BigInteger, nullable=False),
    Column("open_volume_e8", BigInteger, nullable=False),  # signed
    Column("last_closing_deal_ticket", BigInteger, nullable=False),  # 0: nothing closed yet
    PrimaryKeyConstraint("master_id", "position_ticket", name="master_positions_pkey"),
    ForeignKeyConstraint(["master_id"], ["masters.master_id"], name="master_positions_master_fkey"),
)

# One row per child, made behind the decision.
child_trades = Table(
    "child_trades",
    metadata,
    Column("child_trade_id", BigInteger, nullable=False),  # allocation id × 2^20 + index in login order
    Column("label", BigInteger, nullable=False),
    Column("allocation_id", BigInteger, nullable=False),
    Column("master_id", BigInteger, nullable=False),
    Column("subscription_id", BigInteger, nullable=False),
    Column("account_id", BigInteger, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("master_position_ticket", BigInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("direction", SmallInteger, nullable=False),  # 1 bought, -1 sold; volumes are magnitudes
    Column("volume_e8", BigInteger, nullable=False),  # decided
    Column("target_volume_e8", BigInteger, nullable=False),  # what is to be open after all master closes so far
    Column("filled_volume_e8", BigInteger, nullable=False),
    Column("open_volume_e8", BigInteger, nullable=False),
    Column("closing_volume_e8", BigInteger, nullable=False),  # ordered to close, not yet ended by a deal or refusal
    Column("open_price_e8", BigInteger, nullable=False),
    Column("position_ticket", BigInteger, nullable=False),  # 0 while unknown
    Column("create_time", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("child_trade_id", name="child_trades_pkey"),
    CheckConstraint("direction IN (-1, 1)", name="child_trades_direction_check"),
    CheckConstraint(
        "volume_e8 > 0 AND target_volume_e8 >= 0 AND closing_volume_e8 >= 0 AND open_volume_e8 >= 0"
        " AND open_volume_e8 <= filled_volume_e8",
        name="child_trades_volumes_check",
    ),
    Index("child_trades_master_position_idx", "master_id", "master_position_ticket"),
    Index("child_trades_subscription_idx", "subscription_id", "child_trade_id"),
    Index("child_trades_label_idx", "label", "child_trade_id"),
    Index(
        "child_trades_position_key",
        "account_id",
        "position_ticket",
        unique=True,
        postgresql_where=text("position_ticket <> 0"),
    ),
    Index(
        "child_trades_excess_idx",
        "master_id",
        postgresql_where=text("open_volume_e8 > target_volume_e8 AND closing_volume_e8 = 0"),
    ),
)

# Closing deals on subscribed accounts, each once: the truth about what of a child is open.
closing_deals = Table(
    "closing_deals",
    metadata,
    Column("account_id", BigInteger, nullable=False),
    Column("deal_ticket", BigInteger, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("position_ticket", BigInteger, nullable=False),
    Column("volume_e8", BigInteger, nullable=False),  # above 0
    Column("price_e8", BigInteger, nullable=False),
    Column("server_time_ms", BigInteger, nullable=False),
    Column("ordered", Boolean, nullable=False),  # caused by an order of platform-groups
    Column("child_trade_id", BigInteger),  # null until the position is known to be a child's
    PrimaryKeyConstraint("account_id", "deal_ticket", name="closing_deals_pkey"),
    CheckConstraint("volume_e8 > 0", name="closing_deals_volume_check"),
    Index(
        "closing_deals_unmatched_idx",
        "account_id",
        "position_ticket",
        postgresql_where=text("child_trade_id IS NULL"),
    ),
)
