"""Setting aside: one part of an event cannot be applied, and the rest of it, and all that follows, can.

An event may speak of many things that have nothing to do with each other: the deals of a sixty-fourth of a server's
accounts, say. A handler that finds a contradiction in one of them sets that part aside for a person and goes on, where
raising would park all the others with it. Parking stays right for a failure whose reach is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.errors import DomainError, NotFound
from apportion.events.inbox import ERROR_LENGTH
from apportion.events.received_event import ReceivedEvent
from apportion.storage import fetch_arrays, storable, transaction

log = structlog.get_logger()

KEEP = """
    INSERT INTO inbox_set_aside (label, aggregate_type, aggregate_id, sequence, part, type, payload, error,
                                 set_aside_time)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
    ON CONFLICT ON CONSTRAINT inbox_set_aside_part_key DO NOTHING
"""
COLUMNS = "set_aside_id, label, aggregate_type, aggregate_id, sequence, part, error, set_aside_time"
LIST = text(f"SELECT {COLUMNS} FROM inbox_set_aside WHERE settled_time IS NULL ORDER BY set_aside_id")
COUNT = text("SELECT count(*) FROM inbox_set_aside WHERE settled_time IS NULL")
SETTLE = text(
    """
    UPDATE inbox_set_aside SET settled_time = :now, note = :note
    WHERE set_aside_id = :set_aside_id AND settled_time IS NULL RETURNING set_aside_id
    """
)


@dataclass(frozen=True, slots=True)
class SetAsidePart:
    """A part that waits for a person; its event's payload is kept beside it."""

    set_aside_id: int
    label: int
    aggregate_type: str
    aggregate_id: str
    sequence: int
    part: str
    error: str
    set_aside_time: datetime


async def set_aside(tx: AsyncConnection, event: ReceivedEvent, *, part: str, error: DomainError, now: datetime) -> None:
    """Keep what could not be applied, in the handler's transaction: kept exactly if the rest is applied.

    `part` names the thing within the event, as "deal 4711 of account 12"; the same part again is the same row. What
    the handler wrote for the part before is not undone: check first, or write under `tx.begin_nested()`.
    """
    aggregate = (event.label, event.aggregate_type, event.aggregate_id)
    cause = storable(str(error), ERROR_LENGTH)
    await fetch_arrays(tx, KEEP, *aggregate, event.sequence, part, event.type, event.payload, cause, now)
    log.error(
        "event_part_set_aside",
        aggregate="/".join(map(str, aggregate)),
        sequence=event.sequence,
        part=part,
        reason=error.reason,
        cause=cause,
    )


async def list_set_aside(engine: AsyncEngine) -> Sequence[SetAsidePart]:
    """What is not settled yet, oldest first."""
    async with transaction(engine) as tx:
        return [SetAsidePart(*row) for row in await tx.execute(LIST)]


async def count_set_aside(engine: AsyncEngine) -> int:
    """How many parts are not settled yet."""
    async with transaction(engine) as tx:
        return int((await tx.execute(COUNT)).scalar_one())


async def settle_set_aside(engine: AsyncEngine, set_aside_id: int, *, note: str, now: datetime) -> None:
    """Say that a person has dealt with it, and how; the row stays. Raises NotFound when it does not wait."""
    async with transaction(engine) as tx:
        row = {"set_aside_id": set_aside_id, "note": note, "now": now}
        if (await tx.execute(SETTLE, row)).one_or_none() is None:
            raise NotFound("set_aside_part", set_aside_id)
