"""A made-up pair of services: one publishes "trades", the other applies them to its table `applied`."""

from __future__ import annotations

import asyncio
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.api.common.v1.events_pb2_grpc import add_ReplayServiceServicer_to_server
from apportion.events import Consumer, Patience, ReceivedEvent, Redis, Relay, ReplayPort, ReplayServicer, replay_port
from apportion.rpc import Server, open_channel
from apportion.runtime import SystemClock
from apportion.storage import append_event, transaction

TOPIC = "trades"
EVENT = "example.TradeDone"
LABEL = 7
HASTE = Patience(first_pause_seconds=0.02)

APPLY = text("INSERT INTO applied (topic, aggregate_id, sequence) VALUES (:topic, :aggregate_id, :sequence)")


async def apply(tx: AsyncConnection, event: ReceivedEvent) -> None:
    row = {"topic": event.aggregate_type, "aggregate_id": event.aggregate_id, "sequence": event.sequence}
    await tx.execute(APPLY, row)


async def publish(
    engine: AsyncEngine,
    aggregate: int,
    *,
    count: int = 1,
    type: str = EVENT,  # noqa: A002  # the name of the column
    payload: bytes = b"x",
) -> None:
    """Append `count` events to an aggregate in one transaction."""
    async with transaction(engine) as tx:
        for _ in range(count):
            await append_event(
                tx,
                label=LABEL,
                aggregate_type=TOPIC,
                aggregate_id=str(aggregate),
                partition=aggregate % 64,
                type=type,
                payload=payload,
                now=datetime.now(UTC),
                event_id=uuid.uuid4(),
            )


async def heads(engine: AsyncEngine) -> dict[str, int]:
    """The newest number of each aggregate that was published."""
    async with transaction(engine) as tx:
        rows = await tx.execute(text("SELECT aggregate_id, sequence FROM aggregates"))
        return {row.aggregate_id: row.sequence for row in rows}


async def applied(engine: AsyncEngine) -> dict[str, list[int]]:
    """The numbers applied per aggregate, in the order in which they were applied."""
    sequences: dict[str, list[int]] = defaultdict(list)
    async with transaction(engine) as tx:
        for row in await tx.execute(text("SELECT aggregate_id, sequence FROM applied ORDER BY applied_id")):
            sequences[row.aggregate_id].append(row.sequence)
    return dict(sequences)


async def all_applied(publisher: AsyncEngine, subscriber: AsyncEngine) -> bool:
    """Whether each published event was applied; asserts that none was applied twice or out of order."""
    done, wanted = await applied(subscriber), await heads(publisher)
    for aggregate_id, sequences in done.items():
        assert sequences == list(range(1, len(sequences) + 1)), aggregate_id
    return {aggregate_id: len(sequences) for aggregate_id, sequences in done.items()} == wanted


def consumer(
    engine: AsyncEngine,
    redis: Redis,
    port: ReplayPort,
    *,
    owner: str = "worker-1",
    handlers: Mapping[str, Callable[..., Awaitable[Any]]] | None = None,
    patience: Patience = HASTE,
    **options: Any,
) -> Consumer:
    return Consumer(
        engine,
        redis,
        name="sample",
        topics={TOPIC: port},
        handlers={EVENT: apply} if handlers is None else handlers,
        owner=owner,
        clock=SystemClock(),
        patience=patience,
        **options,
    )


def relay(engine: AsyncEngine, redis: Redis, owner: str = "relay-1") -> Relay:
    return Relay(engine, redis, owner=owner, clock=SystemClock())


@asynccontextmanager
async def running(*loops: Callable[[], Awaitable[object]]) -> AsyncIterator[list[asyncio.Task[object]]]:
    """Run loops for ever until the block ends; a loop that failed fails the test."""
    tasks = [asyncio.ensure_future(loop()) for loop in loops]
    try:
        yield tasks
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def replay_server(engine: AsyncEngine) -> AsyncIterator[str]:
    """The publisher's gRPC server; yields host:port."""
    server = Server("127.0.0.1:0", tls=None, peers=None, domain="sample.apportion", drain_delay_seconds=0.0)
    add_ReplayServiceServicer_to_server(ReplayServicer(engine), server.grpc)
    yield await server.start()
    await server.drain(0.1)


@asynccontextmanager
async def replay_client(address: str) -> AsyncIterator[ReplayPort]:
    async with open_channel(address, tls=None, service="sample") as channel:
        yield replay_port(channel)
