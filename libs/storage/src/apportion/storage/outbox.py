"""Facts for other services, written in the transaction that makes them true."""

from __future__ import annotations

import uuid
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.storage.copy import fetch_arrays

PARTITIONS = 64
MAX_PAYLOAD_BYTES = 768 * 1024
"""A replayed event and its frame fit into one gRPC message of 1 MiB with room to spare."""

# On the path of every decision, so it goes to the driver as it is. Taking the number locks the aggregate until the
# commit, so numbers have commit order and no gap.
APPEND = """
    WITH next AS (
        INSERT INTO aggregates AS a (label, aggregate_type, aggregate_id, partition, sequence)
        VALUES ($1, $2, $3, $4, 1)
        ON CONFLICT ON CONSTRAINT aggregates_pkey DO UPDATE SET sequence = a.sequence + 1
        RETURNING a.sequence
    )
    INSERT INTO outbox
        (label, aggregate_type, aggregate_id, partition, sequence, event_id, type, occurred_time, payload)
    SELECT $1, $2, $3, $4, next.sequence, $5::uuid, $6::text, $7::timestamptz, $8::bytea
    FROM next
    RETURNING sequence
"""


class EventTooLarge(Exception):
    """An event that no consumer could ever replay. A bug of its writer, who has to cut what it says into chunks."""


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
    Raises EventTooLarge.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise EventTooLarge(f"{type} of {aggregate_type}/{aggregate_id} has {len(payload)} bytes")
    (row,) = await fetch_arrays(
        tx, APPEND, label, aggregate_type, aggregate_id, partition, event_id, type, now, payload
    )
    sequence: int = row["sequence"]
    return sequence
