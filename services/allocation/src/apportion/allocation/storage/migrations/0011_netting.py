"""Netting investment accounts: many children in one position, told apart by the deals of our orders."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"

NET_DEALS = """
    CREATE TABLE net_deals (
        account_id bigint NOT NULL,
        deal_ticket bigint NOT NULL,
        child_trade_id bigint NOT NULL,
        label bigint NOT NULL,
        symbol text NOT NULL,
        volume_e8 bigint NOT NULL CONSTRAINT net_deals_volume_check CHECK (volume_e8 <> 0),
        CONSTRAINT net_deals_pkey PRIMARY KEY (account_id, deal_ticket, child_trade_id)
    )
"""
STATEMENTS = (
    NET_DEALS,
    "CREATE INDEX net_deals_nobodys_idx ON net_deals (account_id, symbol) WHERE child_trade_id = 0",
    "ALTER TABLE subscriptions ADD nets boolean NOT NULL DEFAULT false",
    "ALTER TABLE child_trades ADD nets boolean NOT NULL DEFAULT false",
    "DROP INDEX child_trades_position_key",
    """
    CREATE UNIQUE INDEX child_trades_position_key ON child_trades (account_id, position_ticket)
        WHERE position_ticket <> 0 AND NOT nets
    """,
    "ALTER TABLE deviations DROP CONSTRAINT deviations_pkey",
    "ALTER TABLE deviations ADD CONSTRAINT deviations_pkey PRIMARY KEY (account_id, position_ticket, symbol)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
