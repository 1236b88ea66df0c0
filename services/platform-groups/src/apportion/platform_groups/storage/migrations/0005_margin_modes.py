"""How accounts hold positions; 0 for those that were made before: nobody asked their server."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"

STATEMENTS = (
    "ALTER TABLE platform_groups ADD COLUMN margin_mode smallint NOT NULL DEFAULT 0",
    "ALTER TABLE accounts ADD COLUMN margin_mode smallint NOT NULL DEFAULT 0",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
