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

from apportion.payments import payment_columns, payment_constraints, payment_decisions
from apportion.storage import infrastructure_tables
from apportion.storage.columns import bigint, identity, smallint, string, timestamptz

metadata = MetaData()
infrastructure_tables(metadata)

terms = Table(
    "terms",
    metadata,
    bigint("label"),
    bigint("subscription_id"),
    bigint("version"),
    bigint("master_id"),
    bigint("payer_account_id"),
    bigint("payee_account_id"),
    string("currency_code"),
    smallint("currency_digits", comment="Of the account's currency on its trading server"),
    bigint("trade_fee_per_lot_minor"),
    timestamptz("update_time"),
    PrimaryKeyConstraint("label", "subscription_id", "version", name="terms_pkey"),
    CheckConstraint("trade_fee_per_lot_minor >= 0", name="terms_trade_fee_check"),
    CheckConstraint("currency_digits BETWEEN 0 AND 8", name="terms_currency_digits_check"),
    Index("terms_master_idx", "label", "master_id", "subscription_id"),
    comment="Fee terms of subscriptions; append-only, the newest version is in force",
)

calculations = Table(
    "calculations",
    metadata,
    identity("calculation_id"),
    bigint("label"),
    smallint("fee_type"),
    bigint("subscription_id"),
    bigint("master_id"),
    bigint("payer_account_id"),
    bigint("payee_account_id", comment="0: no terms"),
    bigint("child_trade_id"),
    bigint("deal_ticket"),
    string("symbol"),
    bigint("closed_volume_e8"),
    string("currency_code"),
    bigint("terms_version", comment="0: no terms"),
    bigint("rate_minor"),
    bigint("fee_minor"),
    string("line"),
    bigint("server_time_ms"),
    timestamptz("create_time"),
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
    bigint("calculation_id"),
    *payment_columns("charges"),
    PrimaryKeyConstraint("calculation_id", name="charges_pkey"),
    ForeignKeyConstraint(["calculation_id"], ["calculations.calculation_id"], name="charges_calculation_fkey"),
    *payment_constraints("charges"),
    Index("charges_state_idx", "label", "state", "calculation_id"),
    Index("charges_refused_idx", "label", "debit_account_id", postgresql_where=text("state = 4")),
    comment="What a calculation above 0 owes, and whether it was paid",
)

payment_decisions(metadata)
