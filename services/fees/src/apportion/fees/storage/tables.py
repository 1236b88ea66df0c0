"""The tables of this service."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from apportion.storage import infrastructure_tables

metadata = MetaData()
infrastructure_tables(metadata)

terms = Table(
    "terms",
    metadata,
    Column("label", BigInteger, nullable=False),
    Column("subscription_id", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("master_id", BigInteger, nullable=False),
    Column("payer_account_id", BigInteger, nullable=False),
    Column("payee_account_id", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("trade_fee_per_lot_minor", BigInteger, nullable=False),
    Column("update_time", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("label", "subscription_id", "version", name="terms_pkey"),
    CheckConstraint("trade_fee_per_lot_minor >= 0", name="terms_trade_fee_check"),
    Index("terms_master_idx", "label", "master_id", "subscription_id"),
    comment="Fee terms of subscriptions; append-only, the newest version is in force",
)

calculations = Table(
    "calculations",
    metadata,
    Column("calculation_id", BigInteger, Identity(always=True), nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("fee_type", SmallInteger, nullable=False),
    Column("subscription_id", BigInteger, nullable=False),
    Column("master_id", BigInteger, nullable=False),
    Column("payer_account_id", BigInteger, nullable=False),
    Column("payee_account_id", BigInteger, nullable=False, comment="0: no terms"),
    Column("child_trade_id", BigInteger, nullable=False),
    Column("deal_ticket", BigInteger, nullable=False),
    Column("symbol", Text, nullable=False),
    Column("closed_volume_e8", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("terms_version", BigInteger, nullable=False, comment="0: no terms"),
    Column("rate_minor", BigInteger, nullable=False),
    Column("fee_minor", BigInteger, nullable=False),
    Column("line", Text, nullable=False),
    Column("server_time_ms", BigInteger, nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("calculation_id", name="calculations_pkey"),
    UniqueConstraint("label", "child_trade_id", "deal_ticket", "fee_type", name="calculations_close_key"),
    CheckConstraint("closed_volume_e8 > 0", name="calculations_volume_check"),
    # The formula, once more: no row can hold another fee than its inputs give.
    CheckConstraint(
        "fee_minor = div(closed_volume_e8::numeric * rate_minor * 2 + 100000000, 200000000)",
        name="calculations_fee_check",
    ),
    Index("calculations_label_idx", "label", "calculation_id"),
    Index("calculations_master_idx", "label", "master_id", "calculation_id"),
    Index("calculations_subscription_idx", "label", "subscription_id", "calculation_id"),
    comment="Every fee ever computed with its inputs; append-only",
)

charges = Table(
    "charges",
    metadata,
    Column("calculation_id", BigInteger, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("master_id", BigInteger, nullable=False),
    Column("payer_account_id", BigInteger, nullable=False),
    Column("payee_account_id", BigInteger, nullable=False),
    Column("currency_code", Text, nullable=False),
    Column("amount_minor", BigInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("attempt_count", Integer, nullable=False),
    Column("transfer_id", BigInteger, nullable=False, comment="at platform-groups; 0 while unknown"),
    Column("reason", Text, nullable=False),
    Column("next_attempt_time", DateTime(timezone=True), comment="of an OUTSTANDING charge"),
    Column("settle_time", DateTime(timezone=True), comment="when it was paid"),
    PrimaryKeyConstraint("calculation_id", name="charges_pkey"),
    ForeignKeyConstraint(["calculation_id"], ["calculations.calculation_id"], name="charges_calculation_fkey"),
    CheckConstraint("amount_minor > 0", name="charges_amount_check"),
    CheckConstraint("payer_account_id <> payee_account_id", name="charges_accounts_check"),
    CheckConstraint("(state = 3) = (next_attempt_time IS NOT NULL)", name="charges_outstanding_check"),
    CheckConstraint("(state = 2) = (settle_time IS NOT NULL)", name="charges_paid_check"),
    Index("charges_state_idx", "label", "state", "calculation_id"),
    Index("charges_due_idx", "next_attempt_time", postgresql_where=text("state = 3")),
    Index("charges_outstanding_idx", "label", "payer_account_id", postgresql_where=text("state = 3")),
    comment="What a calculation above 0 owes, and whether it was paid",
)

transfers = Table(
    "transfers",
    metadata,
    Column("item_id", BigInteger, Identity(always=True), nullable=False),
    Column("calculation_id", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("transfer_id", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    Column("send_count", Integer, nullable=False),
    Column("next_send_time", DateTime(timezone=True), nullable=False),
    Column("create_time", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("item_id", name="transfers_pkey"),
    UniqueConstraint("calculation_id", "attempt", name="transfers_attempt_key"),
    ForeignKeyConstraint(["calculation_id"], ["charges.calculation_id"], name="transfers_charge_fkey"),
    # A charge can never be collected twice: a second transfer needs the first to be REJECTED.
    Index("transfers_live_key", "calculation_id", unique=True, postgresql_where=text("state <> 4")),
    Index("transfers_ready_idx", "next_send_time", postgresql_where=text("state = 1")),
    comment="Attempts to collect a charge; each is one item of a batch transfer",
)
