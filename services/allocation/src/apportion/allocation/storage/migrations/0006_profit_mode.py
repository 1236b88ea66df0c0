"""P/L allocation mode: artificial records, distributions of their money, payouts that book it."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = (
    # 1: trades, as all decisions so far.
    "ALTER TABLE allocations ADD mode smallint NOT NULL DEFAULT 1",
    "ALTER TABLE allocations ADD CONSTRAINT allocations_mode_check CHECK (mode IN (1, 2))",
    "ALTER TABLE child_trades ADD proportion_e9 bigint NOT NULL DEFAULT 0",
    "ALTER TABLE child_trades DROP CONSTRAINT child_trades_volumes_check",
    """
    ALTER TABLE child_trades ADD CONSTRAINT child_trades_volumes_check
        CHECK ((volume_e8 > 0 OR (proportion_e9 > 0 AND volume_e8 = 0)) AND target_volume_e8 >= 0
            AND closing_volume_e8 >= 0 AND open_volume_e8 >= 0 AND open_volume_e8 <= filled_volume_e8)
    """,
    """
    CREATE TABLE record_openings (
        allocation_id bigint NOT NULL,
        master_id bigint NOT NULL,
        position_ticket bigint NOT NULL,
        open_volume_e8 bigint NOT NULL,
        floating_profit_minor bigint NOT NULL DEFAULT 0,
        floating_time timestamptz,
        CONSTRAINT record_openings_pkey PRIMARY KEY (allocation_id),
        CONSTRAINT record_openings_allocation_fkey FOREIGN KEY (allocation_id) REFERENCES allocations,
        CONSTRAINT record_openings_volume_check CHECK (open_volume_e8 >= 0)
    )
    """,
    """
    CREATE INDEX record_openings_position_idx ON record_openings (master_id, position_ticket)
        WHERE open_volume_e8 > 0
    """,
    """
    CREATE TABLE distributions (
        allocation_id bigint NOT NULL,
        label bigint NOT NULL,
        master_id bigint NOT NULL,
        kind smallint NOT NULL,
        deal_ticket bigint NOT NULL,
        position_ticket bigint NOT NULL,
        currency_code text NOT NULL,
        residual_rule smallint NOT NULL,
        closed_volume_e8 bigint NOT NULL,
        profit_minor bigint NOT NULL,
        swap_minor bigint NOT NULL,
        commission_minor bigint NOT NULL,
        whole bigint NOT NULL,
        row_count integer NOT NULL,
        distributed_minor bigint NOT NULL,
        columns bytea NOT NULL,
        distribute_time timestamptz NOT NULL,
        CONSTRAINT distributions_pkey PRIMARY KEY (allocation_id),
        CONSTRAINT distributions_deal_key UNIQUE (master_id, deal_ticket, kind),
        CONSTRAINT distributions_allocation_fkey FOREIGN KEY (allocation_id) REFERENCES allocations,
        CONSTRAINT distributions_kind_check CHECK (kind IN (1, 2)),
        CONSTRAINT distributions_residual_rule_check CHECK (residual_rule IN (1, 2))
    )
    """,
    "ALTER TABLE distributions ALTER columns SET STORAGE EXTERNAL",
    "CREATE INDEX distributions_master_idx ON distributions (master_id, allocation_id)",
    "CREATE INDEX distributions_label_idx ON distributions (label, allocation_id)",
    "CREATE SEQUENCE payout_items_seq",
    """
    CREATE TABLE payouts (
        allocation_id bigint NOT NULL,
        subscription_id bigint NOT NULL,
        label bigint NOT NULL,
        master_account_id bigint NOT NULL,
        account_id bigint NOT NULL,
        currency_code text NOT NULL,
        amount_minor bigint NOT NULL,
        item_id bigint NOT NULL DEFAULT nextval('payout_items_seq'),
        state smallint NOT NULL,
        reason text NOT NULL,
        transfer_id bigint NOT NULL,
        attempt_count integer NOT NULL,
        send_count integer NOT NULL,
        next_time timestamptz,
        settle_time timestamptz,
        CONSTRAINT payouts_pkey PRIMARY KEY (allocation_id, subscription_id),
        CONSTRAINT payouts_item_key UNIQUE (item_id),
        CONSTRAINT payouts_distribution_fkey FOREIGN KEY (allocation_id) REFERENCES distributions,
        CONSTRAINT payouts_amount_check CHECK (amount_minor <> 0),
        CONSTRAINT payouts_state_check CHECK (state BETWEEN 1 AND 4)
    )
    """,
    "ALTER SEQUENCE payout_items_seq OWNED BY payouts.item_id",
    "CREATE INDEX payouts_due_idx ON payouts (next_time) WHERE state IN (1, 4)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
