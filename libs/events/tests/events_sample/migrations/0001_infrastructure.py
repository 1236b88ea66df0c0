"""Infrastructure of a made-up service, and a table that shows what its consumer did."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from apportion.storage import create_infrastructure

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_infrastructure(op)
    op.create_table(
        "applied",
        sa.Column("applied_id", sa.BigInteger, sa.Identity(), primary_key=True),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("aggregate_id", sa.Text, nullable=False),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("topic", "aggregate_id", "sequence", name="applied_once_key"),
    )
