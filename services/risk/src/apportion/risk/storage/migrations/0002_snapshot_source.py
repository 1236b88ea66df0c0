"""Where the snapshot came from that a trip was decided on."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"

# Until now every snapshot was heard as weather.
COLUMN = "ALTER TABLE trips ADD snapshot_source smallint NOT NULL DEFAULT 1"

PROTECTION = (
    """
    CREATE FUNCTION refuse_source_edit() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'a trip cannot change like this: snapshot source % to %',
            OLD.snapshot_source, NEW.snapshot_source
            USING ERRCODE = 'restrict_violation';
    END $$
    """,
    """
    CREATE TRIGGER trips_source_kept BEFORE UPDATE ON trips FOR EACH ROW
        WHEN (OLD.snapshot_source IS DISTINCT FROM NEW.snapshot_source) EXECUTE FUNCTION refuse_source_edit()
    """,
)


def upgrade() -> None:
    for statement in (COLUMN, *PROTECTION):
        op.execute(statement)
