"""Further inputs of decisions; what is owed from rounding; children in the other direction."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

STATEMENTS = (
    """
    ALTER TABLE allocations
        ADD contract_size bigint NOT NULL DEFAULT 0,
        ADD conversion_e8 bigint NOT NULL DEFAULT 0,
        ADD currency_digits smallint NOT NULL DEFAULT 2,
        ADD point_e8 bigint NOT NULL DEFAULT 0,
        ADD stop_loss_e8 bigint NOT NULL DEFAULT 0,
        ADD take_profit_e8 bigint NOT NULL DEFAULT 0,
        ADD figures bytea NOT NULL DEFAULT ''
    """,
    "ALTER TABLE allocations ALTER figures SET STORAGE EXTERNAL",
    """
    CREATE TABLE carries (
        master_id bigint NOT NULL CONSTRAINT carries_master_fkey REFERENCES masters,
        symbol text NOT NULL,
        subscription_ids bytea NOT NULL,
        carries_e8 bytea NOT NULL,
        CONSTRAINT carries_pkey PRIMARY KEY (master_id, symbol),
        CONSTRAINT carries_length_check CHECK (octet_length(subscription_ids) = octet_length(carries_e8))
    )
    """,
    "ALTER TABLE carries ALTER subscription_ids SET STORAGE EXTERNAL, ALTER carries_e8 SET STORAGE EXTERNAL",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
