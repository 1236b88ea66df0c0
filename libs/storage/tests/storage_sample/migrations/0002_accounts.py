"""A table of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("account_id", sa.BigInteger, nullable=False),
        sa.Column("balance_minor", sa.BigInteger, nullable=False),
        sa.Column("group_number", sa.Integer),
        sa.Column("name", sa.Text),
        sa.Column("opened_time", sa.DateTime(timezone=True)),
        sa.Column("enabled", sa.Boolean),
        sa.Column("source", sa.Uuid),
        sa.Column("hash", sa.LargeBinary),
        sa.PrimaryKeyConstraint("account_id", name="accounts_pkey"),
        sa.CheckConstraint("balance_minor >= 0", name="accounts_balance_check"),
    )
