"""Tables that every service has: numbering and outbox of its events, inbox, request ids, leases."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)

from apportion.storage.columns import bigint, bytea, identity, integer, string, timestamptz, uuid

OUTBOX_CHANNEL = "outbox"
"""NOTIFY channel: an event was committed. A hint only, the outbox itself is the truth."""

metadata = MetaData()

aggregates = Table(
    "aggregates",
    metadata,
    bigint("label"),
    string("aggregate_type"),
    string("aggregate_id"),
    integer("partition"),
    bigint("sequence", comment="of the newest event"),
    PrimaryKeyConstraint("label", "aggregate_type", "aggregate_id", name="aggregates_pkey"),
    Index("aggregates_partition_idx", "aggregate_type", "partition"),
    comment="Numbers the events of one aggregate without a gap, in commit order",
)

outbox = Table(
    "outbox",
    metadata,
    uuid("event_id"),
    bigint("label"),
    string("aggregate_type"),
    string("aggregate_id"),
    bigint("sequence"),
    integer("partition"),
    string("type"),
    timestamptz("occurred_time"),
    bytea("payload"),
    timestamptz("published_time", nullable=True),
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
    string("consumer"),
    bigint("label"),
    string("aggregate_type"),
    string("aggregate_id"),
    bigint("last_sequence"),
    integer("failure_count", server_default="0", comment="of the event after last_sequence"),
    timestamptz("parked_time", nullable=True),
    PrimaryKeyConstraint("consumer", "label", "aggregate_type", "aggregate_id", name="inbox_cursors_pkey"),
    comment="The last event of each aggregate that a consumer has applied",
)

inbox_parked = Table(
    "inbox_parked",
    metadata,
    string("consumer"),
    bigint("label"),
    string("aggregate_type"),
    string("aggregate_id"),
    bigint("sequence"),
    integer("partition"),
    uuid("event_id"),
    string("type"),
    timestamptz("occurred_time"),
    bytea("payload"),
    string("error", comment="empty for an event that only waits behind the failed one"),
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
    identity("set_aside_id", always=False),
    bigint("label"),
    string("aggregate_type"),
    string("aggregate_id"),
    bigint("sequence"),
    string("part", comment="what within the event could not be applied"),
    string("type"),
    bytea("payload", comment="of the whole event"),
    string("error"),
    timestamptz("set_aside_time"),
    timestamptz("settled_time", nullable=True, comment="when a person said that it was dealt with"),
    string("note", nullable=True, comment="what the person did"),
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
    bigint("label"),
    string("method"),
    uuid("request_id"),
    bytea("input_hash"),
    string("answer", nullable=True, comment="JSON; set by the transaction that did the work"),
    timestamptz("created_time"),
    PrimaryKeyConstraint("label", "method", "request_id", name="request_ids_pkey"),
    comment="Answers of finished writes: a repeated request gets the stored one",
)
Index("request_ids_created_time_idx", request_ids.c.created_time, postgresql_using="brin")

leases = Table(
    "leases",
    metadata,
    string("kind"),
    string("key"),
    string("owner", comment="empty when released"),
    bigint("epoch", comment="grows when the lease passes on, never by a renewal"),
    timestamptz("lease_until", comment="by clock_timestamp() of this database"),
    PrimaryKeyConstraint("kind", "key", name="leases_pkey"),
    comment="Who does the work of one key now",
)

workers = Table(
    "workers",
    metadata,
    string("kind"),
    string("owner"),
    timestamptz("alive_until"),
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
