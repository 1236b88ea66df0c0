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
    bytea("columns"),  # MessagePack of columns, as figures of allocations
    timestamptz("distribute_time"),
    PrimaryKeyConstraint("allocation_id", name="distributions_pkey"),
    UniqueConstraint("master_id", "deal_ticket", "kind", name="distributions_deal_key"),
    ForeignKeyConstraint(["allocation_id"], ["allocations.allocation_id"], name="distributions_allocation_fkey"),
    CheckConstraint("kind IN (1, 2)", name="distributions_kind_check"),
    CheckConstraint("residual_rule IN (1, 2)", name="distributions_residual_rule_check"),
    Index("distributions_master_idx", "master_id", "allocation_id"),
    Index("distributions_label_idx", "label", "allocation_id"),
)

# One row for each share that is not 0: a transfer between the master's account and an investment account.
payouts = Table(
    "payouts",
    metadata,
    bigint("allocation_id"),
    bigint("subscription_id"),
    bigint("label"),
    bigint("master_account_id"),
    bigint("account_id"),
    string("currency_code"),
    bigint("amount_minor"),  # above 0: paid to the investment account
    bigint("item_id", server_default=text("nextval('payout_items_seq')")),  # names the transfer; new for each attempt
    smallint("state"),  # 1 ready, 2 submitted, 3 paid, 4 refused
    string("reason"),
    bigint("transfer_id"),  # at platform-groups; 0 until the transfer has ended
    integer("attempt_count"),
    integer("send_count"),
    timestamptz("next_time", nullable=True),  # of sending a ready one, of the next attempt at a refused one
    timestamptz("settle_time", nullable=True),
    PrimaryKeyConstraint("allocation_id", "subscription_id", name="payouts_pkey"),
    UniqueConstraint("item_id", name="payouts_item_key"),
    ForeignKeyConstraint(["allocation_id"], ["distributions.allocation_id"], name="payouts_distribution_fkey"),
    CheckConstraint("amount_minor <> 0", name="payouts_amount_check"),
    CheckConstraint("state BETWEEN 1 AND 4", name="payouts_state_check"),
    Index("payouts_due_idx", "next_time", postgresql_where=text("state IN (1, 4)")),
)
