"""Stops of masters' positions and of their children; children that are opened again; opens of single subscriptions."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    # A trailing stop modifies a position more often than 32 767 times.
    "ALTER TABLE allocations ALTER wave TYPE integer",
    "ALTER TABLE allocations ADD subscription_id bigint NOT NULL DEFAULT 0",
    "ALTER TABLE allocations DROP CONSTRAINT allocations_child_trade_ids_check",
    """
    ALTER TABLE allocations ADD CONSTRAINT allocations_child_trade_ids_check CHECK (
        octet_length(child_trade_ids) IN (row_count * 8, CASE WHEN kind = 1 THEN 0 ELSE row_count * 8 END)
        AND octet_length(position_tickets) = octet_length(child_trade_ids))
    """,
    "ALTER TABLE allocations DROP CONSTRAINT allocations_sum_check",
    """
    ALTER TABLE allocations ADD CONSTRAINT allocations_sum_check CHECK (
        unit_sum >= 0 AND (kind <> 1 OR method > 5 OR unit_sum * volume_unit_e8 <= abs(master_volume_e8)))
    """,
    """
    ALTER TABLE master_positions
        ADD stop_loss_e8 bigint NOT NULL DEFAULT 0,
        ADD take_profit_e8 bigint NOT NULL DEFAULT 0
    """,
    """
    ALTER TABLE child_trades
        ADD stop_loss_e8 bigint NOT NULL DEFAULT 0,
        ADD take_profit_e8 bigint NOT NULL DEFAULT 0,
        ADD follow_up_id bigint NOT NULL DEFAULT 0,
        ADD retry_count smallint NOT NULL DEFAULT 0,
        ADD retry_time timestamptz
    """,
    "CREATE INDEX child_trades_retry_idx ON child_trades (retry_time) WHERE retry_time IS NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
