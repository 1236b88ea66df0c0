"""Random digits in the tokens of balance operations; legs that were made without keep their token."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"

STATEMENTS = (
    "ALTER TABLE transfer_legs ADD COLUMN token_salt text NOT NULL DEFAULT ''",
    "ALTER TABLE transfer_legs ALTER COLUMN token_salt SET DEFAULT left(gen_random_uuid()::text, 8)",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
