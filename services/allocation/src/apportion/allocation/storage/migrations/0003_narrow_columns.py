"""Columns of decisions may be one or two bytes wide, and their reasons sparse: a third less to write."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"

# Older rows are as wide as they were, and pass.
STATEMENTS = (
    "ALTER TABLE allocations ADD reason_bytes smallint NOT NULL DEFAULT 1",
    "ALTER TABLE allocations DROP CONSTRAINT allocations_volumes_check",
    "ALTER TABLE allocations DROP CONSTRAINT allocations_reasons_check",
    "ALTER TABLE allocations DROP CONSTRAINT allocations_bases_check",
    """
    ALTER TABLE allocations ADD CONSTRAINT allocations_volumes_check
        CHECK (volume_bytes IN (1, 2, 4, 8) AND octet_length(volumes) = row_count * volume_bytes)
    """,
    """
    ALTER TABLE allocations ADD CONSTRAINT allocations_reasons_check
        CHECK (CASE reason_bytes WHEN 1 THEN octet_length(reasons) IN (0, row_count)
               WHEN 5 THEN octet_length(reasons) % 5 = 0 ELSE false END)
    """,
    """
    ALTER TABLE allocations ADD CONSTRAINT allocations_bases_check
        CHECK (basis_bytes IN (0, 1, 2, 4, 8) AND octet_length(bases) = row_count * basis_bytes)
    """,
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)
