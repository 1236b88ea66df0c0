"""The tables of P/L allocation mode."""

from __future__ import annotations

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    text,
)

from apportion.allocation.storage.tables import metadata
from apportion.payments import payment_columns, payment_constraints, payment_decisions
from apportion.storage.columns import bigint, bytea, integer, smallint, string, timestamptz

# Openings whose rows hold artificial records.
record_openings = Table(
    "record_openings",
    metadata,
    bigint("allocation_id"),
    bigint("master_id"),
    bigint("position_ticket"),
    bigint("open_volume_e8"),  # magnitude: what the master still has open of it
    bigint("floating_profit_minor", server_default="0"),  # weather: the newest wins
    timestamptz("floating_time", nullable=True),
    PrimaryKeyConstraint("allocation_id", name="record_openings_pkey"),
    ForeignKeyConstraint(["allocation_id"], ["allocations.allocation_id"], name="record_openings_allocation_fkey"),
    CheckConstraint("open_volume_e8 >= 0", name="record_openings_volume_check"),
    Index(
        "record_openings_position_idx",
        "master_id",
        "position_ticket",
        postgresql_where=text("open_volume_e8 > 0"),
    ),
)

# The money of deals, divided: one columnar row each, with the inputs it was computed from.
distributions = Table(
    "distributions",
    metadata,
    bigint("allocation_id"),  # the decision on the deal
    bigint("label"),
    bigint("master_id"),
    smallint("kind"),  # 1 what an opening deal cost, 2 what a closing deal brought
    bigint("deal_ticket"),
    bigint("position_ticket"),
    string("currency_code"),
    smallint("residual_rule"),
    bigint("closed_volume_e8"),
    bigint("profit_minor"),
    bigint("swap_minor"),
    bigint("commission_minor"),
    bigint("whole"),  # proportions are parts of it
    integer("row_count"),
    bigint("distributed_minor"),
    bigint("undistributed_minor"),  # the rest, which belongs to nobody
    string("undistributed_reason"),
    bytea("columns"),  # MessagePack of columns, as figures of allocations
    timestamptz("distribute_time"),
    PrimaryKeyConstraint("allocation_id", name="distributions_pkey"),
    UniqueConstraint("master_id", "deal_ticket", "kind", name="distributions_deal_key"),
    ForeignKeyConstraint(["allocation_id"], ["allocations.allocation_id"], name="distributions_allocation_fkey"),
    CheckConstraint("kind IN (1, 2)", name="distributions_kind_check"),
    CheckConstraint("residual_rule IN (1, 2)", name="distributions_residual_rule_check"),
    Index("distributions_master_idx", "master_id", "allocation_id"),
    Index("distributions_label_idx", "label", "allocation_id"),
    Index("distributions_rest_idx", "master_id", postgresql_where=text("undistributed_minor <> 0")),
    Index("distributions_rest_time_idx", "distribute_time", postgresql_where=text("undistributed_minor <> 0")),
)

# One payment for each share that is not 0, between the master's account (the ordering key) and an investment account.
payouts = Table(
    "payouts",
    metadata,
    bigint("allocation_id"),
    bigint("subscription_id"),
    *payment_columns("payouts"),
    PrimaryKeyConstraint("allocation_id", "subscription_id", name="payouts_pkey"),
    ForeignKeyConstraint(["allocation_id"], ["distributions.allocation_id"], name="payouts_distribution_fkey"),
    *payment_constraints("payouts"),
)

payment_decisions(metadata)
