"""What a close on a netting account did too much is a child of which nothing was decided."""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE child_trades DROP CONSTRAINT child_trades_volumes_check, ADD CONSTRAINT child_trades_volumes_check
            CHECK ((volume_e8 > 0 OR (volume_e8 = 0 AND (proportion_e9 > 0 OR nets))) AND target_volume_e8 >= 0
                AND closing_volume_e8 >= 0 AND open_volume_e8 >= 0 AND open_volume_e8 <= filled_volume_e8)
        """
    )
