"""Facts for other services, written in the transaction that makes them true."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

PARTITIONS = 64

# Taking the number locks the aggregate until the commit, so numbers have commit order and no gap.
APPEND = text(
    """
    WITH next AS (
        INSERT INTO aggregates AS a (label, aggregate_type, aggregate_id, partition, sequence)
        VALUES (:label, :aggregate_type, :aggregate_id, :partition, 1)
        ON CONFLICT ON CONSTRAINT aggregates_pkey DO UPDATE SET sequence = a.sequence + 1
        RETURNING a.sequence
    )
    INSERT INTO outbox
        (event_id, label, aggregate_type, aggregate_id, sequence, partition, type, occurred_time, payload)
    SELECT CAST(:event_id AS uuid), :label, :aggregate_type, :aggregate_id, next.sequence, :partition, :type,
           CAST(:occurred_time AS timestamptz), CAST(:payload AS bytea)
    FROM next
    RETURNING sequence
    """
)


def partition_of(key: int) -> int:
    """The stream partition of an account, master or other numbered thing."""
    return key % PARTITIONS


async def append_event(
    tx: AsyncConnection,
    *,
    label: int,
    aggregate_type: str,
    aggregate_id: str,
    partition: int,
    type: str,  # noqa: A002  # the name of the column, always passed by keyword
    payload: bytes,
    now: datetime,
    event_id: uuid.UUID,
) -> int:
    """Adds an event to the outbox, to be published after the commit. Returns its number in the aggregate, from 1.

    Locks the aggregate until the commit: a transaction that appends to several appends in the order of their ids.
    """
    row = await tx.execute(
        APPEND,
        {
            "label": label,
            "aggregate_type": aggregate_type,
            "aggregate_id": aggregate_id,
            "partition": partition,
            "event_id": event_id,
            "type": type,
            "occurred_time": now,
            "payload": payload,
        },
    )
    sequence: int = row.scalar_one()
    return sequence
