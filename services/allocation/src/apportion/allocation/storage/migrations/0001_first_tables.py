"""First tables."""

from __future__ import annotations

from alembic import op

from apportion.storage import create_infrastructure

revision = "0001"
down_revision = None

TABLES = """
CREATE TABLE masters (
    master_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT masters_pkey PRIMARY KEY,
    label bigint NOT NULL,
    name text NOT NULL,
    account_type smallint NOT NULL,
    account_id bigint NOT NULL,
    account_login bigint NOT NULL,
    trading_server_id bigint NOT NULL,
    wallet_account_id bigint NOT NULL,
    currency_code text NOT NULL,
    method smallint NOT NULL,
    rounding smallint NOT NULL,
    listed_on_leaderboard boolean NOT NULL,
    min_follower_equity_minor bigint NOT NULL CONSTRAINT masters_min_follower_equity_check
        CHECK (min_follower_equity_minor >= 0),
    halt_causes text[] NOT NULL,
    halt_epoch bigint NOT NULL,
    set_version bigint NOT NULL,
    version bigint NOT NULL,
    active_subscription_count bigint NOT NULL CONSTRAINT masters_active_subscription_count_check
        CHECK (active_subscription_count >= 0),
    create_time timestamptz NOT NULL,
    CONSTRAINT masters_name_key UNIQUE (label, name),
    CONSTRAINT masters_account_key UNIQUE (label, account_id)
);

CREATE TABLE subscriptions (
    subscription_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT subscriptions_pkey PRIMARY KEY,
    label bigint NOT NULL,
    master_id bigint NOT NULL CONSTRAINT subscriptions_master_fkey REFERENCES masters,
    account_id bigint NOT NULL,
    account_login bigint NOT NULL,
    wallet_account_id bigint NOT NULL,
    active boolean NOT NULL,
    ratio_e8 bigint NOT NULL CONSTRAINT subscriptions_ratio_check CHECK (ratio_e8 > 0),
    lot_e8 bigint NOT NULL,
    percent_e8 bigint NOT NULL,
    round_up_to_min boolean NOT NULL,
    version bigint NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT subscriptions_account_key UNIQUE (master_id, account_id)
);
CREATE INDEX subscriptions_label_account_idx ON subscriptions (label, account_id);

CREATE TABLE subscription_sets (
    master_id bigint NOT NULL CONSTRAINT subscription_sets_master_fkey REFERENCES masters,
    set_version bigint NOT NULL,
    row_count integer NOT NULL,
    subscription_ids bytea NOT NULL,
    account_ids bytea NOT NULL,
    logins bytea NOT NULL,
    flags bytea NOT NULL,
    ratios_e8 bytea NOT NULL,
    CONSTRAINT subscription_sets_pkey PRIMARY KEY (master_id, set_version),
    CONSTRAINT subscription_sets_length_check CHECK (
        octet_length(subscription_ids) = row_count * 8 AND octet_length(account_ids) = row_count * 8
        AND octet_length(logins) = row_count * 8 AND octet_length(flags) = row_count
        AND octet_length(ratios_e8) = row_count * 8)
);

CREATE TABLE allocations (
    allocation_id bigint GENERATED ALWAYS AS IDENTITY CONSTRAINT allocations_pkey PRIMARY KEY,
    label bigint NOT NULL,
    master_id bigint NOT NULL CONSTRAINT allocations_master_fkey REFERENCES masters,
    kind smallint NOT NULL,
    deal_ticket bigint NOT NULL,
    wave smallint NOT NULL,
    position_ticket bigint NOT NULL,
    symbol text NOT NULL,
    master_volume_e8 bigint NOT NULL,
    before_volume_e8 bigint NOT NULL,
    price_e8 bigint NOT NULL,
    server_time_ms bigint NOT NULL,
    method smallint NOT NULL,
    rounding smallint NOT NULL,
    volume_step_e8 bigint NOT NULL,
    min_volume_e8 bigint NOT NULL,
    max_volume_e8 bigint NOT NULL,
    master_basis bigint NOT NULL,
    blanket_reason smallint NOT NULL,
    set_version bigint NOT NULL,
    halt_epoch bigint NOT NULL,
    row_count integer NOT NULL,
    child_count integer NOT NULL,
    skipped_count integer NOT NULL,
    volume_unit_e8 bigint NOT NULL,
    unit_sum bigint NOT NULL,
    volume_bytes smallint NOT NULL,
    volumes bytea NOT NULL,
    reasons bytea NOT NULL,
    basis_bytes smallint NOT NULL,
    bases bytea NOT NULL,
    child_trade_ids bytea NOT NULL,
    position_tickets bytea NOT NULL,
    decide_time timestamptz NOT NULL,
    not_after_time timestamptz,
    dispatch_state smallint NOT NULL,
    dispatch_time timestamptz,
    projected_time timestamptz,
    CONSTRAINT allocations_deal_key UNIQUE (master_id, deal_ticket, kind, wave),
    CONSTRAINT allocations_volumes_check
        CHECK (volume_bytes IN (4, 8) AND octet_length(volumes) = row_count * volume_bytes),
    CONSTRAINT allocations_reasons_check CHECK (octet_length(reasons) IN (0, row_count)),
    CONSTRAINT allocations_bases_check
        CHECK (basis_bytes IN (0, 4, 8) AND octet_length(bases) = row_count * basis_bytes),
    CONSTRAINT allocations_child_trade_ids_check
        CHECK (octet_length(child_trade_ids) = CASE WHEN kind = 2 OR wave > 0 THEN row_count * 8 ELSE 0 END
               AND octet_length(position_tickets) = octet_length(child_trade_ids)),
    CONSTRAINT allocations_counts_check CHECK (child_count + skipped_count = row_count),
    CONSTRAINT allocations_sum_check
        CHECK (unit_sum >= 0 AND (kind = 2 OR method > 5 OR unit_sum * volume_unit_e8 <= abs(master_volume_e8)))
);
CREATE INDEX allocations_master_idx ON allocations (master_id, allocation_id);
CREATE INDEX allocations_position_idx ON allocations (master_id, position_ticket);
CREATE INDEX allocations_label_idx ON allocations (label, allocation_id);
CREATE INDEX allocations_undispatched_idx ON allocations (allocation_id) WHERE dispatch_state < 3;
CREATE INDEX allocations_unprojected_idx ON allocations (allocation_id) WHERE projected_time IS NULL AND kind = 1;

CREATE TABLE master_positions (
    master_id bigint NOT NULL CONSTRAINT master_positions_master_fkey REFERENCES masters,
    position_ticket bigint NOT NULL,
    open_volume_e8 bigint NOT NULL,
    last_closing_deal_ticket bigint NOT NULL,
    CONSTRAINT master_positions_pkey PRIMARY KEY (master_id, position_ticket)
);

CREATE TABLE child_trades (
    child_trade_id bigint CONSTRAINT child_trades_pkey PRIMARY KEY,
    label bigint NOT NULL,
    allocation_id bigint NOT NULL,
    master_id bigint NOT NULL,
    subscription_id bigint NOT NULL,
    account_id bigint NOT NULL,
    symbol text NOT NULL,
    master_position_ticket bigint NOT NULL,
    state smallint NOT NULL,
    reason text NOT NULL,
    direction smallint NOT NULL CONSTRAINT child_trades_direction_check CHECK (direction IN (-1, 1)),
    volume_e8 bigint NOT NULL,
    target_volume_e8 bigint NOT NULL,
    filled_volume_e8 bigint NOT NULL,
    open_volume_e8 bigint NOT NULL,
    closing_volume_e8 bigint NOT NULL,
    open_price_e8 bigint NOT NULL,
    position_ticket bigint NOT NULL,
    create_time timestamptz NOT NULL,
    CONSTRAINT child_trades_volumes_check CHECK (
        volume_e8 > 0 AND target_volume_e8 >= 0 AND closing_volume_e8 >= 0 AND open_volume_e8 >= 0
        AND open_volume_e8 <= filled_volume_e8)
);
CREATE INDEX child_trades_master_position_idx ON child_trades (master_id, master_position_ticket);
CREATE INDEX child_trades_subscription_idx ON child_trades (subscription_id, child_trade_id);
CREATE INDEX child_trades_label_idx ON child_trades (label, child_trade_id);
CREATE UNIQUE INDEX child_trades_position_key ON child_trades (account_id, position_ticket) WHERE position_ticket <> 0;
CREATE INDEX child_trades_excess_idx ON child_trades (master_id)
    WHERE open_volume_e8 > target_volume_e8 AND closing_volume_e8 = 0;

CREATE TABLE closing_deals (
    account_id bigint NOT NULL,
    deal_ticket bigint NOT NULL,
    label bigint NOT NULL,
    position_ticket bigint NOT NULL,
    volume_e8 bigint NOT NULL CONSTRAINT closing_deals_volume_check CHECK (volume_e8 > 0),
    price_e8 bigint NOT NULL,
    server_time_ms bigint NOT NULL,
    ordered boolean NOT NULL,
    child_trade_id bigint,
    CONSTRAINT closing_deals_pkey PRIMARY KEY (account_id, deal_ticket)
);
CREATE INDEX closing_deals_unmatched_idx ON closing_deals (account_id, position_ticket) WHERE child_trade_id IS NULL;
"""

# Columns are packed numbers: compressing them costs more than all the rest of the write.
UNCOMPRESSED = {
    "subscription_sets": ("subscription_ids", "account_ids", "logins", "flags", "ratios_e8"),
    "allocations": ("volumes", "reasons", "bases", "child_trade_ids", "position_tickets"),
}
# Rows that change soon after they were made stay on their page.
ROOMY = {"masters": 70, "allocations": 80, "child_trades": 70, "master_positions": 70}


def upgrade() -> None:
    create_infrastructure(op)
    for statement in TABLES.split(";"):
        if statement.strip():
            op.execute(statement)
    for table, columns in UNCOMPRESSED.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STORAGE EXTERNAL")
    for table, fill in ROOMY.items():
        op.execute(f"ALTER TABLE {table} SET (fillfactor = {fill})")
