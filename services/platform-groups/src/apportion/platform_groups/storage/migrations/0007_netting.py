"""Closes without a position, of netting accounts; the ticket that a turned position's deals keep."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    "ALTER TABLE orders DROP CONSTRAINT orders_close_check",
    "ALTER TABLE orders ADD CONSTRAINT orders_close_check CHECK (purpose <> 2 OR position_ticket >= 0)",
    "ALTER TABLE position_stops ADD COLUMN lasting_ticket bigint",
    "UPDATE position_stops SET lasting_ticket = position_ticket",
    "ALTER TABLE position_stops ALTER COLUMN lasting_ticket SET NOT NULL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
