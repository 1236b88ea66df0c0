"""The tables of this service."""

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
from apportion.storage.columns import bigint, boolean, identity, integer, smallint, string, timestamptz

metadata = MetaData()
infrastructure_tables(metadata)

limits = Table(
    "limits",
    metadata,
    bigint("label"),
    bigint("master_id"),
    bigint("account_id"),
    bigint("trading_server_id"),
    string("currency_code"),
    bigint("limit_percent_e8"),
    smallint("basis"),
    smallint("state"),
    bigint("server_day"),
    bigint("day_start_equity_minor"),
    bigint("day_start_balance_minor"),
    bigint("day_start_credit_minor"),
    bigint("day_start_time_ms", comment="raw server time"),
    bigint("day_start_ticket", comment="deals up to it are in the day start"),
    bigint("day_flow_minor"),
    bigint("trip_id", comment="in force; 0: none"),
    string("alarm"),
    bigint("version"),
    timestamptz("update_time"),
    PrimaryKeyConstraint("label", "master_id", name="limits_pkey"),
    UniqueConstraint("label", "account_id", name="limits_account_key"),
    CheckConstraint("limit_percent_e8 > 0 AND limit_percent_e8 <= 10000000000", name="limits_percent_check"),
    CheckConstraint("(trip_id <> 0) = (state IN (3, 4, 5))", name="limits_trip_check"),
    Index("limits_server_idx", "trading_server_id"),
    comment="Daily limits of masters with the day start they are measured from",
)

deals = Table(
    "deals",
    metadata,
    bigint("label"),
    bigint("account_id"),
    bigint("deal_ticket"),
    bigint("balance_minor"),
    bigint("credit_minor"),
    bigint("flow_minor", comment="deposits and withdrawals"),
    bigint("server_time_ms"),
    PrimaryKeyConstraint("label", "account_id", "deal_ticket", name="deals_pkey"),
    comment="What moved the balance or credit of accounts with a limit; append-only",
)

trips = Table(
    "trips",
    metadata,
    identity("trip_id"),
    bigint("label"),
    bigint("master_id"),
    bigint("account_id"),
    bigint("trading_server_id"),
    smallint("state"),
    bigint("server_day"),
    bigint("day_start_equity_minor"),
    bigint("day_flow_minor"),
    bigint("limit_percent_e8"),
    smallint("basis"),
    bigint("signal_equity_minor"),
    bigint("equity_minor"),
    bigint("balance_minor"),
    bigint("unexplained_minor"),
    bigint("previous_equity_minor"),
    string("alarm"),
    smallint("snapshot_source", server_default="1"),
    bigint("server_time_ms"),
    timestamptz("observed_time"),
    timestamptz("decide_time"),
    boolean("is_halted"),
    bigint("closing_id", comment="at platform-groups; 0: none yet"),
    integer("closing_round"),
    timestamptz("flat_time", nullable=True),
    bigint("achieved_equity_minor"),
    timestamptz("rearm_time", nullable=True),
    integer("attempt_count"),
    integer("failure_count", comment="since the last success"),
    string("last_error"),
    timestamptz("next_attempt_time"),
    PrimaryKeyConstraint("trip_id", name="trips_pkey"),
    UniqueConstraint("label", "master_id", "server_day", name="trips_day_key"),
    CheckConstraint("equity_minor < signal_equity_minor", name="trips_breach_check"),
    Index("trips_label_idx", "label", "trip_id"),
    Index("trips_master_idx", "label", "master_id", "trip_id"),
    Index("trips_open_idx", "next_attempt_time", postgresql_where=text("state <> 4")),
    Index("trips_live_key", "label", "master_id", unique=True, postgresql_where=text("state <> 4")),
    comment="Each time a limit was broken, with the evidence; only its progress changes",
)

trip_prices = Table(
    "trip_prices",
    metadata,
    bigint("trip_id"),
    string("symbol"),
    bigint("bid_e8"),
    bigint("ask_e8"),
    bigint("server_time_ms"),
    PrimaryKeyConstraint("trip_id", "symbol", name="trip_prices_pkey"),
    ForeignKeyConstraint(["trip_id"], ["trips.trip_id"], name="trip_prices_trip_fkey"),
    comment="Prices known when the limit tripped",
)

trip_closes = Table(
    "trip_closes",
    metadata,
    bigint("trip_id"),
    integer("closing_round"),
    integer("line"),
    bigint("position_ticket"),
    bigint("volume_e8"),
    bigint("price_e8"),
    bigint("server_time_ms", server_default="0"),
    PrimaryKeyConstraint("trip_id", "closing_round", "line", name="trip_closes_pkey"),
    ForeignKeyConstraint(["trip_id"], ["trips.trip_id"], name="trip_closes_trip_fkey"),
    comment="Positions that a trip closed",
)
