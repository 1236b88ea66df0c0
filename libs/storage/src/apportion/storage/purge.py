"""Deletes what has served its time: published events, answers to old requests, settled parts of events.

Every worker runs it; of several that look at once each takes other rows. Ages go by the database's clock, so that a
machine with a wrong one deletes nothing early.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

import structlog
from prometheus_client import Counter
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError
from apportion.runtime import ServiceSettings
from apportion.storage.copy import fetch_arrays
from apportion.storage.transaction import transaction

log = structlog.get_logger()

PAUSE_SECONDS = 3_600.0
BATCH_ROWS = 2_000

PURGED = Counter("apportion_purged_rows_total", "Rows deleted because their retention was over.", ["table"])

# What is not published yet stays whatever its age. An event occurs before it is published: the first condition is for
# the index. Counters of `aggregates` and `inbox_cursors` stay too: numbers go on where they were.
OUTBOX = "occurred_time < now() - make_interval(days => $1) AND published_time < now() - make_interval(days => $1)"
REQUEST_IDS = "created_time < now() - make_interval(days => $1)"
SET_ASIDE = "settled_time < now() - make_interval(days => $1)"


class Expiry(NamedTuple):
    """Rows of a table that go when `is_due`, a condition on their age in days, `$1`."""

    table: str
    is_due: str
    days: int


class Purge:
    """One for each worker of a service; `more` is what this service alone deletes."""

    def __init__(self, engine: AsyncEngine, settings: ServiceSettings, more: Sequence[Expiry] = ()) -> None:
        self._engine = engine
        self._expiries = (
            Expiry("outbox", OUTBOX, settings.outbox_retention_days),
            Expiry("request_ids", REQUEST_IDS, settings.request_retention_days),
            Expiry("inbox_set_aside", SET_ASIDE, settings.request_retention_days),
            *more,
        )

    async def run(self) -> None:
        """Hourly, for ever. A database that is away is waited for until the next hour."""
        while True:
            try:
                await self.purge()
            except DomainError as error:
                log.warning("purge_interrupted", cause=str(error))
            await asyncio.sleep(PAUSE_SECONDS)

    async def purge(self) -> None:
        """Deletes all that is due now, a batch to a transaction."""
        for table, is_due, days in self._expiries:
            count = 0
            while deleted := await self._delete_batch(table, is_due, days):
                count += deleted
                PURGED.labels(table).inc(deleted)
            if count:
                log.info("rows_purged", table=table, count=count, older_than_days=days)

    async def _delete_batch(self, table: str, is_due: str, days: int) -> int:
        statement = f"""
            DELETE FROM {table} WHERE ctid = ANY(ARRAY(
                SELECT ctid FROM {table} WHERE {is_due} LIMIT {BATCH_ROWS} FOR UPDATE SKIP LOCKED
            )) RETURNING 1
        """
        async with transaction(self._engine) as tx:
            return len(await fetch_arrays(tx, statement, days))
