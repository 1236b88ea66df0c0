"""Opens that were decided before a halt are void."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

STATEMENTS = (
    """
    CREATE TABLE halts (
        label bigint NOT NULL,
        ordering_key bigint NOT NULL,
        halt_epoch bigint NOT NULL,
        change_time timestamptz NOT NULL,
        CONSTRAINT halts_pkey PRIMARY KEY (label, ordering_key)
    )
    """,
    "ALTER TABLE orders ADD COLUMN halt_epoch bigint",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
