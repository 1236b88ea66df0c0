"""Modifications of positions, slippage limits, known stops of masters' positions, accesses that are not proven yet."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    "ALTER TABLE orders ADD COLUMN reference_price_e8 bigint NOT NULL DEFAULT 0",
    "ALTER TABLE orders ADD COLUMN max_slippage_e8 bigint NOT NULL DEFAULT 0",
    "ALTER TABLE orders DROP CONSTRAINT orders_volume_check",
    "ALTER TABLE orders ADD CONSTRAINT orders_volume_check CHECK ((volume_e8 <> 0) = (purpose <> 3))",
    "ALTER TABLE orders ADD CONSTRAINT orders_modify_check CHECK (purpose <> 3 OR position_ticket > 0)",
    "CREATE INDEX orders_modify_idx ON orders (trading_server_id, position_ticket, order_id) WHERE purpose = 3",
    "ALTER TABLE accounts ADD COLUMN access_settled boolean NOT NULL DEFAULT true",
    "UPDATE accounts SET access_settled = false WHERE access <> wanted_access",
    "CREATE INDEX accounts_unsettled_idx ON accounts (trading_server_id, account_id) WHERE NOT access_settled",
    """
    CREATE TABLE position_stops (
        trading_server_id bigint NOT NULL,
        position_ticket bigint NOT NULL,
        account_id bigint NOT NULL,
        stop_loss_e8 bigint NOT NULL,
        take_profit_e8 bigint NOT NULL,
        update_time timestamptz NOT NULL,
        CONSTRAINT position_stops_pkey PRIMARY KEY (trading_server_id, position_ticket),
        CONSTRAINT position_stops_account_fkey FOREIGN KEY (account_id) REFERENCES accounts
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
