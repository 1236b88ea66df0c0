"""Ages of trades, limits that cut children, and stops that are sent again."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = (
    "ALTER TABLE allocations ADD age_ms bigint NOT NULL DEFAULT 0",
    "ALTER TABLE child_trades ADD skip_reason smallint NOT NULL DEFAULT 0",
    """
    CREATE TABLE stop_retries (
        child_trade_id bigint NOT NULL CONSTRAINT stop_retries_pkey PRIMARY KEY
            CONSTRAINT stop_retries_child_fkey REFERENCES child_trades,
        label bigint NOT NULL,
        master_id bigint NOT NULL,
        master_position_ticket bigint NOT NULL,
        first_time timestamptz NOT NULL,
        retry_time timestamptz,
        retry_count smallint NOT NULL
    )
    """,
    "CREATE INDEX stop_retries_time_idx ON stop_retries (retry_time) WHERE retry_time IS NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
