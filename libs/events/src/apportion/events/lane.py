"""One aggregate at one consumer: its events are applied one after another, whatever happens to other aggregates."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.errors import DomainError, EventsMissing
from apportion.events import metrics
from apportion.events.inbox import ERROR_LENGTH, AggregateKey, Cursor, advance_cursor, count_failure, load_cursors, park
from apportion.events.received_event import ReceivedEvent
from apportion.events.replay import ReplayPort
from apportion.runtime import Clock
from apportion.storage import storable, transaction
from apportion.storage.leases import Lease, check_fence

log = structlog.get_logger()

AfterCommit = Callable[[], Awaitable[None]]
Handler = Callable[[AsyncConnection, ReceivedEvent], Awaitable[AfterCommit | None]]
Preparation = Callable[[ReceivedEvent], Awaitable[None]]
"""Gets what a handler will need from elsewhere, while no transaction holds locks."""

BATCH_EVENTS = 100
FIRST_DELAY_SECONDS = 0.05
LONGEST_DELAY_SECONDS = 5.0
BUFFER_BYTES_PER_LANE = 1 << 20
BUFFER_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a failure that may be the event's fault is tried again before it parks the aggregate.

    The pause after the first failure doubles with each further one: by default the five span 2 + 4 + 8 + 16 = 30 s.
    """

    failures_to_park: int = 5
    first_pause_seconds: float = 2.0

    def pause_seconds(self, failure_count: int) -> float:
        """How long to wait after so many failures."""
        return float(self.first_pause_seconds * 2 ** max(0, failure_count - 1))


class LeaseHolder(Protocol):
    """Knows by its own clock whether a lease can still be ours."""

    def valid(self, lease: Lease) -> bool: ...


@dataclass
class LaneSettings:
    """What all lanes of a consumer share."""

    engine: AsyncEngine
    consumer: str
    handlers: Mapping[str, Handler]
    owners: Mapping[str, ReplayPort]
    clock: Clock
    slots: asyncio.Semaphore
    leases: LeaseHolder
    patience: Patience
    preparations: Mapping[str, Preparation]
    busy: set[Lane] = field(default_factory=set)
    parked: set[Lane] = field(default_factory=set)
    buffered_bytes: int = 0


class Lane:
    """Knows how far the aggregate is applied (`cursor`) and how far it goes (`head`), and closes the distance.

    A stream entry only says "there is a number n, and here it is if you want it": entries wait in a bounded buffer,
    and what is not there, for whatever reason, is pulled from the owner.
    """

    __slots__ = (
        "_attempt",
        "_buffer",
        "_buffered_bytes",
        "_closed",
        "_lease",
        "_pausing",
        "_settings",
        "_singly_until",
        "_task",
        "cursor",
        "head",
        "key",
    )

    def __init__(self, settings: LaneSettings, lease: Lease, key: AggregateKey, cursor: Cursor | None) -> None:
        self.key = key
        self.head = 0
        self.cursor: Cursor | None = None
        self._settings = settings
        self._lease = lease
        self._buffer: dict[int, ReceivedEvent] = {}
        self._buffered_bytes = 0
        self._singly_until = 0
        self._attempt: list[ReceivedEvent] = []
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._pausing = False
        if cursor is not None:
            self._stand_at(cursor)

    @property
    def is_parked(self) -> bool:
        return self.cursor is not None and self.cursor.is_parked

    @property
    def distance(self) -> int:
        """Events known and not applied."""
        return max(0, self.head - (self.cursor.last_sequence if self.cursor else 0))

    def offer(self, event: ReceivedEvent) -> None:
        """Take an event from the stream; repeats are dropped here, without the database."""
        if self.cursor is not None and event.sequence <= self.cursor.last_sequence:
            metrics.REPEATED.labels(self._settings.consumer).inc()
            return
        settings, size = self._settings, len(event.payload)
        fits = self._buffered_bytes + size <= BUFFER_BYTES_PER_LANE and settings.buffered_bytes + size <= BUFFER_BYTES
        if fits and not self.is_parked and event.sequence not in self._buffer:
            self._buffer[event.sequence] = event
            self._buffered_bytes += size
            settings.buffered_bytes += size
        self.offer_head(event.sequence)

    def offer_head(self, sequence: int) -> None:
        """Hear of the newest number, and start working when it is news."""
        self.head = max(self.head, sequence)
        if self._task is None and not self._closed and not self.is_parked and self.distance:
            self._settings.busy.add(self)
            self._task = asyncio.create_task(self._close_distance(), name=f"lane {self.key}")

    def reopen(self) -> None:
        """The aggregate was un-parked, or somebody else moved the cursor: read it again."""
        self._settings.parked.discard(self)
        self.cursor = None
        self.offer_head(self.head)

    async def close(self, grace_seconds: float) -> None:
        """Finish the transaction at hand, within the grace given, and do nothing after it."""
        self._closed = True
        if self._task is not None:
            if self._pausing:
                self._task.cancel()
            _, late = await asyncio.wait([self._task], timeout=grace_seconds)
            for task in late:
                task.cancel()
                await asyncio.wait([task])
        self._drop_buffer(self.head)
        self._settings.parked.discard(self)

    def _stand_at(self, cursor: Cursor) -> None:
        self.cursor = cursor
        if cursor.is_parked:
            self._settings.parked.add(self)
            self._drop_buffer(self.head)

    async def _close_distance(self) -> None:
        delay_seconds = FIRST_DELAY_SECONDS
        try:
            while not self._closed and not self.is_parked and (self.cursor is None or self.distance):
                try:
                    await self._step()
                    delay_seconds = FIRST_DELAY_SECONDS
                except Exception as error:
                    metrics.RETRIED.labels(self._settings.consumer, getattr(error, "reason", "BUG")).inc()
                    pause_seconds = await self._judge(error)
                    if pause_seconds is None:
                        pause_seconds, delay_seconds = delay_seconds, min(delay_seconds * 2, LONGEST_DELAY_SECONDS)
                    if pause_seconds:
                        await self._pause(pause_seconds)
        finally:
            self._task = None
            self._settings.busy.discard(self)

    async def _pause(self, seconds: float) -> None:
        """The one place where a closing lane may be interrupted without losing work."""
        self._pausing = True
        try:
            await asyncio.sleep(seconds)
        finally:
            self._pausing = False

    async def _step(self) -> None:
        """Apply the next events, or find out where we stand."""
        self._attempt = []
        if not self._settings.leases.valid(self._lease):
            await self._pause(FIRST_DELAY_SECONDS)
            return
        if self.cursor is None:
            self._stand_at(await self._load_cursor())
            return
        events = self._next_buffered(self.cursor.last_sequence)
        if not events:
            events = await self._pull(self.cursor.last_sequence)
        self._attempt = events
        hooks = await self._apply(self.cursor.last_sequence, events)
        if hooks is None:
            self.cursor = None
            return
        self.cursor = Cursor(events[-1].sequence, is_parked=False)
        for event in events:
            self._drop(event.sequence)
        self._observe(events)
        for hook in hooks:
            await self._run_hook(hook)

    async def _load_cursor(self) -> Cursor:
        settings = self._settings
        async with settings.slots, transaction(settings.engine) as tx:
            cursors = await load_cursors(tx, settings.consumer, self.key.aggregate_type, [self.key])
        cursor = cursors[self.key]
        self._drop_buffer(cursor.last_sequence)
        return cursor

    def _next_buffered(self, last_sequence: int) -> list[ReceivedEvent]:
        events: list[ReceivedEvent] = []
        while len(events) < self._batch_limit(last_sequence) and (
            event := self._buffer.get(last_sequence + len(events) + 1)
        ):
            events.append(event)
        return events

    def _batch_limit(self, last_sequence: int) -> int:
        """A batch that failed is gone through one by one: the good events pass, the culprit stands alone."""
        return 1 if last_sequence < self._singly_until else BATCH_EVENTS

    async def _pull(self, last_sequence: int) -> list[ReceivedEvent]:
        """The stream lacks the next event: ask the owner."""
        settings, topic = self._settings, self.key.aggregate_type
        metrics.GAPS.labels(settings.consumer, topic).inc()
        events = await settings.owners[topic].events(self.key.label, topic, self.key.aggregate_id, last_sequence + 1)
        if not events or events[0].sequence != last_sequence + 1:
            raise EventsMissing(f"event {last_sequence + 1} of {self.key} is gone", sequence=last_sequence + 1)
        metrics.REPLAYED.labels(settings.consumer, topic).inc(len(events))
        for event in events:
            self.offer(event)
        # Up to the first hole: what comes behind one waits for it.
        unbroken = [event for number, event in enumerate(events, last_sequence + 1) if event.sequence == number]
        return unbroken[: self._batch_limit(last_sequence)]

    async def _apply(self, last_sequence: int, events: list[ReceivedEvent]) -> list[AfterCommit] | None:
        """One transaction for the events; None when the cursor stands elsewhere than we thought."""
        settings = self._settings
        hooks: list[AfterCommit] = []
        for event in events:
            prepare = settings.preparations.get(event.type)
            if prepare is not None:
                await prepare(event)
        async with settings.slots, transaction(settings.engine) as tx:
            to_sequence = events[-1].sequence
            if not await advance_cursor(tx, self._lease, settings.consumer, self.key, last_sequence, to_sequence):
                return None
            for event in events:
                handler = settings.handlers.get(event.type)
                if handler is None:
                    metrics.UNKNOWN.labels(settings.consumer, event.type).inc()
                elif (hook := await handler(tx, event)) is not None:
                    hooks.append(hook)
        return hooks

    async def _run_hook(self, hook: AfterCommit) -> None:
        """After the commit a failure is no longer the inbox's business: a hook only hurries what a loop will do."""
        try:
            await hook()
        except Exception:
            metrics.HOOK_FAILED.labels(self._settings.consumer).inc()
            log.exception("after_commit_failed", consumer=self._settings.consumer, aggregate=str(self.key))

    async def _judge(self, error: Exception) -> float | None:
        """Seconds until the next try: None to wait a failure out that is not the event's fault, 0 for at once."""
        fields = {"consumer": self._settings.consumer, "aggregate": str(self.key)}
        is_transient = isinstance(error, DomainError) and error.kind.is_transient
        if is_transient or not (self._attempt or isinstance(error, EventsMissing)):
            log.warning("event_delayed", **fields, cause=str(error))
            return None
        if len(self._attempt) > 1:
            self._singly_until = self._attempt[-1].sequence
            return 0.0
        log.error("event_failed", **fields, exc_info=error)
        try:
            return await self._count_failure(error)
        except Exception as failure:
            log.warning("event_failure_not_counted", **fields, cause=str(failure))
            return None

    async def _count_failure(self, error: Exception) -> float:
        """Count it, in the end park the aggregate; seconds until the next try. The count outlives this worker."""
        settings, cursor = self._settings, self.cursor
        if cursor is None:
            return 0.0
        cause = storable(f"{type(error).__name__}: {error}", ERROR_LENGTH)
        culprit = self._attempt[0] if self._attempt else None
        async with settings.slots, transaction(settings.engine) as tx:
            await check_fence(tx, self._lease)
            count = await count_failure(tx, settings.consumer, self.key, cursor.last_sequence)
            if count >= settings.patience.failures_to_park:
                await park(tx, settings.consumer, self.key, culprit, cause, settings.clock.now())
        if count < settings.patience.failures_to_park:
            return settings.patience.pause_seconds(count)
        self._stand_at(Cursor(cursor.last_sequence, is_parked=True))
        metrics.PARKED_TOTAL.labels(settings.consumer, self.key.aggregate_type).inc()
        log.error("aggregate_parked", consumer=settings.consumer, aggregate=str(self.key), cause=cause)
        return 0.0

    def _observe(self, events: list[ReceivedEvent]) -> None:
        """The oldest event speaks for the delay of all that share its transaction."""
        settings = self._settings
        metrics.APPLIED.labels(settings.consumer, self.key.aggregate_type).inc(len(events))
        delay = settings.clock.now() - events[0].occurred_time
        metrics.APPLY_DELAY.labels(settings.consumer).observe(max(0.0, delay.total_seconds()))

    def _drop_buffer(self, last_sequence: int) -> None:
        for sequence in [sequence for sequence in self._buffer if sequence <= last_sequence]:
            self._drop(sequence)

    def _drop(self, sequence: int) -> None:
        event = self._buffer.pop(sequence, None)
        if event is not None:
            self._buffered_bytes -= len(event.payload)
            self._settings.buffered_bytes -= len(event.payload)
