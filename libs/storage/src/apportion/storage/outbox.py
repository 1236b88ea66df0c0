"""Facts for other services, written in the transaction that makes them true."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.storage.copy import fetch_arrays

PARTITIONS = 64
MAX_PAYLOAD_BYTES = 768 * 1024
"""A replayed event and its frame fit into one gRPC message of 1 MiB with room to spare."""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is to be appended; `append_event` says what the fields mean."""

    label: int
    aggregate_type: str
    aggregate_id: str
    partition: int
    event_id: uuid.UUID
    type: str
    now: datetime
    payload: bytes


PARAMETER_TYPES = ("bigint", "text", "text", "integer", "uuid", "text", "timestamptz", "bytea")
"""Of the fields of a NewEvent, in their order."""


def event_clause(first: int, given: str) -> str:
    """SQL that appends an event, for a statement that does more: `WITH given AS (…), {event_clause(…)} SELECT …`.

    The fields of a NewEvent are the statement's parameters from `$first` on. The event is appended when `given`, a CTE,
    has a row; `appended` tells its sequence. One round trip less on the path of every decision.
    """
    # Taking the number locks the aggregate until the commit, so numbers have commit order and no gap.
    fields = [f"${first + number}::{name}" for number, name in enumerate(PARAMETER_TYPES)]
    aggregate, event = ", ".join(fields[:4]), ", ".join(fields[4:])
    return f"""
        numbered AS (
            INSERT INTO aggregates AS a (label, aggregate_type, aggregate_id, partition, sequence)
            SELECT {aggregate}, 1 FROM {given}
            ON CONFLICT ON CONSTRAINT aggregates_pkey DO UPDATE SET sequence = a.sequence + 1
            RETURNING a.sequence
        ), appended AS (
            INSERT INTO outbox
                (label, aggregate_type, aggregate_id, partition, sequence, event_id, type, occurred_time, payload)
            SELECT {aggregate}, sequence, {event} FROM numbered
            RETURNING sequence
        )
    """


APPEND = f"WITH given AS (SELECT 1), {event_clause(1, 'given')} SELECT sequence FROM appended"


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
    event = NewEvent(label, aggregate_type, aggregate_id, partition, event_id, type, now, payload)
    (row,) = await fetch_arrays(tx, APPEND, *event_arguments(event))
    sequence: int = row["sequence"]
    return sequence


def event_arguments(event: NewEvent) -> tuple[object, ...]:
    """What goes with `event_clause`. Raises EventTooLarge."""
    if len(event.payload) > MAX_PAYLOAD_BYTES:
        raise EventTooLarge(
            f"{event.type} of {event.aggregate_type}/{event.aggregate_id} has {len(event.payload)} bytes"
        )
    return tuple(getattr(event, field) for field in NewEvent.__slots__)
