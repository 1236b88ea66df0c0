"""Tables that every service has: numbering and outbox of its events, inbox, request ids, leases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
)

OUTBOX_CHANNEL = "outbox"
"""NOTIFY channel: an event was committed. A hint only, the outbox itself is the truth."""

metadata = MetaData()

aggregates = Table(
    "aggregates",
    metadata,
    Column("label", BigInteger, nullable=False),
    Column("aggregate_type", Text, nullable=False),
    Column("aggregate_id", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("sequence", BigInteger, nullable=False, comment="of the newest event"),
    PrimaryKeyConstraint("label", "aggregate_type", "aggregate_id", name="aggregates_pkey"),
    Index("aggregates_partition_idx", "aggregate_type", "partition"),
    comment="Numbers the events of one aggregate without a gap, in commit order",
)

outbox = Table(
    "outbox",
    metadata,
    Column("event_id", Uuid, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("aggregate_type", Text, nullable=False),
    Column("aggregate_id", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("occurred_time", DateTime(timezone=True), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("published_time", DateTime(timezone=True)),
    PrimaryKeyConstraint("event_id", name="outbox_pkey"),
    UniqueConstraint("label", "aggregate_type", "aggregate_id", "sequence", name="outbox_sequence_key"),
    comment="Events of committed transactions; the relay publishes them and sets published_time",
)
Index(
    "outbox_unpublished_idx",
    outbox.c.label,
    outbox.c.aggregate_type,
    outbox.c.aggregate_id,
    outbox.c.sequence,
    postgresql_where=outbox.c.published_time.is_(None),
)
# Rows come in the order of their time, so a block range index finds the last minutes and costs a write nothing.
Index("outbox_occurred_time_idx", outbox.c.occurred_time, postgresql_using="brin")

inbox_cursors = Table(
    "inbox_cursors",
    metadata,
    Column("consumer", Text, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("aggregate_type", Text, nullable=False),
    Column("aggregate_id", Text, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    Column("failure_count", Integer, nullable=False, server_default="0", comment="of the event after last_sequence"),
    Column("parked_time", DateTime(timezone=True)),
    PrimaryKeyConstraint("consumer", "label", "aggregate_type", "aggregate_id", name="inbox_cursors_pkey"),
    comment="The last event of each aggregate that a consumer has applied",
)

inbox_parked = Table(
    "inbox_parked",
    metadata,
    Column("consumer", Text, nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("aggregate_type", Text, nullable=False),
    Column("aggregate_id", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("type", Text, nullable=False),
    Column("occurred_time", DateTime(timezone=True), nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("error", Text, nullable=False, comment="empty for an event that only waits behind the failed one"),
    PrimaryKeyConstraint("consumer", "label", "aggregate_type", "aggregate_id", "sequence", name="inbox_parked_pkey"),
    ForeignKeyConstraint(
        ["consumer", "label", "aggregate_type", "aggregate_id"],
        [
            "inbox_cursors.consumer",
            "inbox_cursors.label",
            "inbox_cursors.aggregate_type",
            "inbox_cursors.aggregate_id",
        ],
        name="inbox_parked_cursor_fkey",
    ),
    comment="Events of a parked aggregate, kept in order until someone un-parks it",
)

inbox_set_aside = Table(
    "inbox_set_aside",
    metadata,
    Column("set_aside_id", BigInteger, Identity(), nullable=False),
    Column("label", BigInteger, nullable=False),
    Column("aggregate_type", Text, nullable=False),
    Column("aggregate_id", Text, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("part", Text, nullable=False, comment="what within the event could not be applied"),
    Column("type", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False, comment="of the whole event"),
    Column("error", Text, nullable=False),
    Column("set_aside_time", DateTime(timezone=True), nullable=False),
    Column("settled_time", DateTime(timezone=True), comment="when a person said that it was dealt with"),
    Column("note", Text, comment="what the person did"),
    PrimaryKeyConstraint("set_aside_id", name="inbox_set_aside_pkey"),
    UniqueConstraint("label", "aggregate_type", "aggregate_id", "sequence", "part", name="inbox_set_aside_part_key"),
    comment="Parts of applied events that contradict what is known, for a person to settle",
)
Index(
    "inbox_set_aside_open_idx",
    inbox_set_aside.c.set_aside_id,
    postgresql_where=inbox_set_aside.c.settled_time.is_(None),
)

request_ids = Table(
    "request_ids",
    metadata,
    Column("label", BigInteger, nullable=False),
    Column("method", Text, nullable=False),
    Column("request_id", Uuid, nullable=False),
    Column("input_hash", LargeBinary, nullable=False),
    Column("answer", Text, comment="JSON; set by the transaction that did the work"),
    Column("created_time", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("label", "method", "request_id", name="request_ids_pkey"),
    comment="Answers of finished writes: a repeated request gets the stored one",
)
Index("request_ids_created_time_idx", request_ids.c.created_time, postgresql_using="brin")

leases = Table(
    "leases",
    metadata,
    Column("kind", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("owner", Text, nullable=False, comment="empty when released"),
    Column("epoch", BigInteger, nullable=False, comment="grows when the lease passes on, never by a renewal"),
    Column("lease_until", DateTime(timezone=True), nullable=False, comment="by clock_timestamp() of this database"),
    PrimaryKeyConstraint("kind", "key", name="leases_pkey"),
    comment="Who does the work of one key now",
)

workers = Table(
    "workers",
    metadata,
    Column("kind", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("alive_until", DateTime(timezone=True), nullable=False),
    PrimaryKeyConstraint("kind", "owner", name="workers_pkey"),
    comment="Workers among which the leases of a kind are shared",
)

NOT_DECLARABLE = (
    # Payloads are packed numbers: compressing them costs more than all the rest of the write.
    "ALTER TABLE outbox ALTER COLUMN payload SET STORAGE EXTERNAL",
    "ALTER TABLE inbox_parked ALTER COLUMN payload SET STORAGE EXTERNAL",
    "ALTER TABLE inbox_set_aside ALTER COLUMN payload SET STORAGE EXTERNAL",
    # Each publishing writes the row once more; vacuum early, or the unpublished index fills with dead entries.
    "ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.02)",
    # Rows that are written again and again stay on their page.
    "ALTER TABLE aggregates SET (fillfactor = 70)",
    "ALTER TABLE inbox_cursors SET (fillfactor = 70)",
    "ALTER TABLE leases SET (fillfactor = 50)",
    "ALTER TABLE workers SET (fillfactor = 50)",
    f"""
    CREATE FUNCTION outbox_notify() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('{OUTBOX_CHANNEL}', '');
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER outbox_notify AFTER INSERT ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_notify()
    """,
)


def infrastructure_tables(target: MetaData) -> None:
    """Declares the tables in a service's own metadata, so that its schema check covers them."""
    for table in metadata.sorted_tables:
        table.to_metadata(target)


def create_infrastructure(op: Any) -> None:
    """Makes the tables: for the first migration of a service, given Alembic's `op`."""
    metadata.create_all(op.get_bind(), checkfirst=False)
    for statement in NOT_DECLARABLE:
        op.execute(statement)
