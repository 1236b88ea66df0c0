"""Whether a trading server keeps the comments of accounts from its manager: then no account can be told by its own."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.execute("ALTER TABLE trading_servers ADD COLUMN comments_hidden boolean NOT NULL DEFAULT false")
