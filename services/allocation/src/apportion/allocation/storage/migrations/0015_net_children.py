"""What is open, or on its way, in one symbol of a netting account."""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.execute(
        """
        CREATE INDEX child_trades_net_idx ON child_trades (account_id, symbol)
            WHERE nets AND (open_volume_e8 > 0 OR state = 1)
        """
    )
