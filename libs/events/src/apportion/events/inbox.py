"""The inbox: which events of each aggregate a consumer has applied, and which aggregates are parked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.types import BigInteger, Text

from apportion.errors import NotFound, StaleEpoch
from apportion.events.received_event import ReceivedEvent
from apportion.storage import fetch_arrays, transaction
from apportion.storage.leases import Lease

ERROR_LENGTH = 2_000
"""Characters of an error that are kept."""


class AggregateKey(NamedTuple):
    """Whose events are numbered 1, 2, 3, ..."""

    label: int
    aggregate_type: str
    aggregate_id: str

    def __str__(self) -> str:
        return f"{self.label}/{self.aggregate_type}/{self.aggregate_id}"


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a consumer stands in one aggregate: 0 before its first event."""

    last_sequence: int
    is_parked: bool


SAME_AGGREGATE = """
    consumer = :consumer AND label = :label AND aggregate_type = :aggregate_type AND aggregate_id = :aggregate_id
"""

LOAD = text(
    """
    SELECT label, aggregate_id, last_sequence, parked_time IS NOT NULL AS is_parked FROM inbox_cursors
    WHERE consumer = :consumer AND aggregate_type = :aggregate_type
      AND (label, aggregate_id) IN (SELECT * FROM unnest(:labels, :aggregate_ids))
    """
).bindparams(bindparam("labels", type_=ARRAY(BigInteger)), bindparam("aggregate_ids", type_=ARRAY(Text)))

# Lease epoch and cursor are checked, and the cursor moved, in one statement: all that an event costs beside BEGIN, its
# handler and COMMIT, so it goes to the driver as it is. The row locks last until the commit. The fence is that of
# `check_fence`. A parked cursor does not move.
FENCE = """
    WITH fence AS MATERIALIZED (
        SELECT FROM leases WHERE kind = $1 AND key = $2 AND owner = $3 AND epoch = $4 FOR KEY SHARE
    ), moved AS (
"""
MOVED = """
        RETURNING 1
    )
    SELECT EXISTS (SELECT FROM fence) AS is_ours, EXISTS (SELECT FROM moved) AS has_moved
"""
ADVANCE_FIRST = f"""{FENCE}
        INSERT INTO inbox_cursors AS c (consumer, label, aggregate_type, aggregate_id, last_sequence)
        SELECT $5::text, $6::bigint, $7::text, $8::text, $10::bigint FROM fence
        ON CONFLICT ON CONSTRAINT inbox_cursors_pkey
        DO UPDATE SET last_sequence = excluded.last_sequence, failure_count = 0
        WHERE c.last_sequence = $9 AND c.parked_time IS NULL
{MOVED}"""
ADVANCE = f"""{FENCE}
        UPDATE inbox_cursors SET last_sequence = $10, failure_count = 0 FROM fence
        WHERE consumer = $5 AND label = $6 AND aggregate_type = $7 AND aggregate_id = $8
          AND last_sequence = $9 AND parked_time IS NULL
{MOVED}"""
COUNT_FAILURE = text(
    """
    INSERT INTO inbox_cursors AS c
        (consumer, label, aggregate_type, aggregate_id, last_sequence, failure_count)
    VALUES (:consumer, :label, :aggregate_type, :aggregate_id, :last_sequence, 1)
    ON CONFLICT ON CONSTRAINT inbox_cursors_pkey DO UPDATE SET failure_count = c.failure_count + 1
    WHERE c.last_sequence = :last_sequence AND c.parked_time IS NULL
    RETURNING failure_count
    """
)
PARK = text(f"UPDATE inbox_cursors SET parked_time = :now WHERE {SAME_AGGREGATE}")
KEEP_PARKED = text(
    """
    INSERT INTO inbox_parked (consumer, label, aggregate_type, aggregate_id, sequence, partition, event_id, type,
                              occurred_time, payload, error)
    VALUES (:consumer, :label, :aggregate_type, :aggregate_id, :sequence, :partition, CAST(:event_id AS uuid), :type,
            :occurred_time, :payload, :error)
    """
)
FORGET_PARKED = text(f"DELETE FROM inbox_parked WHERE {SAME_AGGREGATE}")
UNPARK = text(
    f"""
    UPDATE inbox_cursors SET parked_time = NULL, failure_count = 0
    WHERE {SAME_AGGREGATE} AND parked_time IS NOT NULL RETURNING last_sequence
    """
)
LIST_PARKED = text(
    """
    SELECT label, aggregate_type, aggregate_id FROM inbox_cursors
    WHERE consumer = :consumer AND parked_time IS NOT NULL ORDER BY label, aggregate_type, aggregate_id
    """
)


def _parameters(consumer: str, key: AggregateKey) -> dict[str, object]:
    return {
        "consumer": consumer,
        "label": key.label,
        "aggregate_type": key.aggregate_type,
        "aggregate_id": key.aggregate_id,
    }


async def load_cursors(
    tx: AsyncConnection, consumer: str, aggregate_type: str, keys: Sequence[AggregateKey]
) -> dict[AggregateKey, Cursor]:
    """The cursor of each key; one that has none yet stands at 0."""
    parameters = {
        "consumer": consumer,
        "aggregate_type": aggregate_type,
        "labels": [key.label for key in keys],
        "aggregate_ids": [key.aggregate_id for key in keys],
    }
    cursors = dict.fromkeys(keys, Cursor(0, is_parked=False))
    for row in await tx.execute(LOAD, parameters):
        cursors[AggregateKey(row.label, aggregate_type, row.aggregate_id)] = Cursor(row.last_sequence, row.is_parked)
    return cursors


async def advance_cursor(
    tx: AsyncConnection, lease: Lease, consumer: str, key: AggregateKey, from_sequence: int, to_sequence: int
) -> bool:
    """Move the cursor; False when it does not stand at `from_sequence` or is parked, and nothing may be applied.

    Raises StaleEpoch when the lease has passed on; otherwise it cannot before `tx` ends.
    """
    fence = (lease.kind, lease.key, lease.owner, lease.epoch)
    aggregate = (consumer, key.label, key.aggregate_type, key.aggregate_id)
    statement = ADVANCE if from_sequence else ADVANCE_FIRST
    (row,) = await fetch_arrays(tx, statement, *fence, *aggregate, from_sequence, to_sequence)
    if not row["is_ours"]:
        raise StaleEpoch(lease_kind=lease.kind, lease_key=lease.key, epoch=lease.epoch)
    has_moved: bool = row["has_moved"]
    return has_moved


async def count_failure(tx: AsyncConnection, consumer: str, key: AggregateKey, last_sequence: int) -> int:
    """How often the event after `last_sequence` has failed now; 0 when the cursor has moved or is parked."""
    parameters = _parameters(consumer, key) | {"last_sequence": last_sequence}
    count: int | None = (await tx.execute(COUNT_FAILURE, parameters)).scalar_one_or_none()
    return count or 0


async def park(
    tx: AsyncConnection, consumer: str, key: AggregateKey, culprit: ReceivedEvent | None, error: str, now: datetime
) -> None:
    """Stop applying the aggregate's events; the failed one is kept with its error, later ones stay with the owner."""
    await tx.execute(PARK, _parameters(consumer, key) | {"now": now})
    if culprit is None:
        return
    row = {
        "sequence": culprit.sequence,
        "partition": culprit.partition,
        "event_id": culprit.event_id,
        "type": culprit.type,
        "occurred_time": culprit.occurred_time,
        "payload": culprit.payload,
        "error": error,
    }
    await tx.execute(KEEP_PARKED, _parameters(consumer, key) | row)


async def list_parked(engine: AsyncEngine, consumer: str) -> list[AggregateKey]:
    """The aggregates that wait for `unpark`."""
    async with transaction(engine) as tx:
        rows = await tx.execute(LIST_PARKED, {"consumer": consumer})
        return [AggregateKey(row.label, row.aggregate_type, row.aggregate_id) for row in rows]


async def unpark(engine: AsyncEngine, consumer: str, label: int, aggregate_type: str, aggregate_id: str) -> None:
    """Let an aggregate go on, from the event that failed, in order; its worker takes it up within seconds.

    Raises NotFound when it is not parked.
    """
    key = AggregateKey(label, aggregate_type, aggregate_id)
    async with transaction(engine) as tx:
        if (await tx.execute(UNPARK, _parameters(consumer, key))).one_or_none() is None:
            raise NotFound("parked_aggregate", key)
        await tx.execute(FORGET_PARKED, _parameters(consumer, key))
