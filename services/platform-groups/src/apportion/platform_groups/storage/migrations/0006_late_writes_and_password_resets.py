"""Writes of rights that may still come in, and who gave which account new passwords."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = (
    "ALTER TABLE accounts ADD COLUMN full_write_until timestamptz",
    "ALTER TABLE accounts ADD COLUMN read_only_write_until timestamptz",
    """
    CREATE TABLE password_resets (
        label bigint NOT NULL,
        account_id bigint NOT NULL,
        request_id uuid NOT NULL,
        peer text NOT NULL,
        is_confirmed boolean NOT NULL,
        create_time timestamptz NOT NULL,
        CONSTRAINT password_resets_pkey PRIMARY KEY (account_id, request_id),
        CONSTRAINT password_resets_account_fkey FOREIGN KEY (account_id) REFERENCES accounts
    )
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
