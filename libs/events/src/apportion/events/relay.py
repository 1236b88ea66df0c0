"""The relay: carries committed events from the outbox to the streams. A doorbell: PostgreSQL stays the only log."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError
from apportion.events.metrics import PUBLISHED, RELAY_DELAY, REPUBLISHED
from apportion.events.received_event import stream_key
from apportion.events.redis import Redis
from apportion.events.redis_memory import RedisMemory
from apportion.events.replay import EVENT_COLUMNS, event_message
from apportion.runtime import Clock
from apportion.storage import database_failure
from apportion.storage.infrastructure import OUTBOX_CHANNEL
from apportion.storage.leases import Lease, LeaseKeeper

log = structlog.get_logger()

LEASE_KIND = "relay"
LEASE_KEY = "outbox"
LEASE_SECONDS = 5.0
POLL_SECONDS = 0.2
MEMORY_CHECK_SECONDS = 1.0
RETRY_SECONDS = 0.2
BATCH_ROWS = 500
BATCH_BYTES = 8 << 20
STREAM_LENGTH = 1_000
REPUBLISH_SECONDS = 600.0
FIELD = b"event"

Key = tuple[int, str, str, int]
START: Key = (-1, "", "", 0)

# Numbers of one aggregate have commit order, a serial id over all rows would not: rows are found by "unpublished".
UNPUBLISHED = f"""
    SELECT {EVENT_COLUMNS} FROM outbox
    WHERE published_time IS NULL AND (label, aggregate_type, aggregate_id, sequence) > ($1, $2, $3, $4)
    ORDER BY label, aggregate_type, aggregate_id, sequence LIMIT {BATCH_ROWS}
"""
RECENT = f"""
    SELECT {EVENT_COLUMNS} FROM outbox
    WHERE published_time IS NOT NULL AND occurred_time >= $5
      AND (label, aggregate_type, aggregate_id, sequence) > ($1, $2, $3, $4)
    ORDER BY label, aggregate_type, aggregate_id, sequence LIMIT {BATCH_ROWS}
"""
MARK = "UPDATE outbox SET published_time = $1 WHERE event_id = ANY($2::uuid[])"


class Relay:
    """Publishes the outbox of one service's database; of several relays the holder of the lease works.

    At least once: a crash between XADD and the mark repeats entries. Consumers go by sequence numbers, so neither a
    repeat nor two relays for a moment do harm, and no epoch has to be checked here.
    """

    def __init__(
        self, engine: AsyncEngine, redis: Redis, *, owner: str, clock: Clock, stream_length: int = STREAM_LENGTH
    ) -> None:
        self._engine = engine
        self._redis = redis
        self._owner = owner
        self._clock = clock
        self._stream_length = stream_length
        self._held = asyncio.Event()
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Hold or await the lease and publish, for ever. Outages of Redis or PostgreSQL are waited out."""
        keeper = LeaseKeeper(
            self._engine,
            LEASE_KIND,
            [LEASE_KEY],
            self._owner,
            clock=self._clock,
            ttl_seconds=LEASE_SECONDS,
            on_acquire=self._acquired,
            on_release=self._released,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(keeper.run(), name="relay_lease")
            group.create_task(self._publish_for_ever(), name="relay_publish")

    async def _acquired(self, _lease: Lease) -> None:
        self._held.set()

    async def _released(self, _lease: Lease) -> None:
        self._held.clear()

    async def _publish_for_ever(self) -> None:
        while True:
            await self._held.wait()
            try:
                async with self._outbox_connection() as connection:
                    await self._publish_while_held(connection)
            except Exception as error:
                failure = error if isinstance(error, DomainError) else database_failure(error)
                if failure is None and not isinstance(error, asyncpg.InterfaceError | OSError):
                    raise
                log.warning("relay_interrupted", cause=str(failure or error))
                await asyncio.sleep(RETRY_SECONDS)

    @asynccontextmanager
    async def _outbox_connection(self) -> AsyncIterator[Any]:
        """A connection outside the pool that listens. Its marks need not be durable: a lost one is a repeat."""
        pooled = await self._engine.raw_connection()
        connection: Any = pooled.driver_connection
        pooled.detach()
        try:
            await connection.execute("SET synchronous_commit = off")
            await connection.add_listener(OUTBOX_CHANNEL, lambda *_: self._woken.set())
            yield connection
        finally:
            connection.terminate()

    async def _publish_while_held(self, connection: Any) -> None:
        name = await connection.fetchval("SELECT current_database() || '/' || current_user")
        memory = RedisMemory(self._redis, f"relay:{name}")
        check_at = self._clock.monotonic()
        after = START
        while self._held.is_set():
            if self._clock.monotonic() >= check_at:
                if not await memory.is_intact():
                    await self._republish(connection, memory)
                check_at = self._clock.monotonic() + MEMORY_CHECK_SECONDS
            self._woken.clear()
            rows = await connection.fetch(UNPUBLISHED, *after)
            if rows:
                await self._publish(rows)
                await connection.execute(MARK, self._clock.now(), [row["event_id"] for row in rows])
            # A full batch goes on behind itself, so that a busy aggregate cannot keep the others waiting.
            if len(rows) == BATCH_ROWS:
                after = _key(rows[-1])
            elif after != START:
                after = START
            else:
                await self._wait_for_commit()

    async def _wait_for_commit(self) -> None:
        """Returns at once when something was committed since the last look."""
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._woken.wait()
        except TimeoutError:
            return

    async def _publish(self, rows: Sequence[Any]) -> None:
        """One pipeline per few megabytes; a refused command fails the batch, which is then repeated."""
        commands: list[tuple[str | bytes | int, ...]] = []
        size = 0
        for row in rows:
            entry = event_message(row).SerializeToString()
            key = stream_key(row["aggregate_type"], row["partition"])
            commands.append(("XADD", key, "MAXLEN", "~", self._stream_length, "*", FIELD, entry))
            size += len(entry)
            if size >= BATCH_BYTES:
                await self._redis.commands(commands)
                commands, size = [], 0
        if commands:
            await self._redis.commands(commands)
        for topic, count in Counter(row["aggregate_type"] for row in rows).items():
            PUBLISHED.labels(topic).inc(count)
        delay = self._clock.now() - min(row["occurred_time"] for row in rows)
        RELAY_DELAY.observe(max(0.0, delay.total_seconds()))

    async def _republish(self, connection: Any, memory: RedisMemory) -> None:
        """What consumers may have missed. Older events they ask of us by replay when they compare heads."""
        since = self._clock.now() - timedelta(seconds=REPUBLISH_SECONDS)
        await memory.begin_restoring()
        count, after = 0, START
        while rows := await connection.fetch(RECENT, *after, since):
            await self._publish(rows)
            count, after = count + len(rows), _key(rows[-1])
        REPUBLISHED.inc(count)
        confirmed = await memory.confirm()
        log.warning("redis_memory_restored", event_count=count, confirmed=confirmed)


def _key(row: Any) -> Key:
    return row["label"], row["aggregate_type"], row["aggregate_id"], row["sequence"]
