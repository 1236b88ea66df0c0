"""Indexes of what may be wrong: children that were not opened, or less than their share, or wait for a result."""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"

STATEMENTS = (
    """
    CREATE INDEX child_trades_short_idx ON child_trades (master_id, master_position_ticket)
    WHERE filled_volume_e8 < volume_e8 AND state NOT IN (1, 8)
    """,
    "CREATE INDEX child_trades_pending_idx ON child_trades (master_id, allocation_id) WHERE state = 1",
    """
    CREATE INDEX child_trades_skip_reason_idx ON child_trades (label, skip_reason, child_trade_id)
    WHERE skip_reason <> 0
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
