from __future__ import annotations

import asyncio
import uuid

import asyncpg
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.runtime.clock import FixedClock
from apportion.storage import PARTITIONS, EventTooLarge, append_event, partition_of, transaction
from apportion.storage.infrastructure import OUTBOX_CHANNEL, outbox
from apportion.storage.outbox import MAX_PAYLOAD_BYTES


async def append(
    tx: AsyncConnection,
    clock: FixedClock,
    aggregate_id: str = "master-1",
    label: int = 1,
    payload: bytes = b"\x00\x01",
) -> int:
    return await append_event(
        tx,
        label=label,
        aggregate_type="allocations",
        aggregate_id=aggregate_id,
        partition=partition_of(130),
        type="AllocationDecided",
        payload=payload,
        now=clock.now(),
        event_id=uuid.uuid4(),
    )


async def test_each_aggregate_of_each_label_counts_from_one(engine: AsyncEngine, clock: FixedClock) -> None:
    async with transaction(engine) as tx:
        assert [await append(tx, clock) for _ in range(3)] == [1, 2, 3]
        assert await append(tx, clock, "master-2") == 1
        assert await append(tx, clock, label=2) == 1
    async with transaction(engine) as tx:
        row = (await tx.execute(select(outbox).where(outbox.c.label == 2))).one()
    assert (row.partition, row.payload, row.occurred_time, row.published_time) == (2, b"\x00\x01", clock.now(), None)


async def test_a_rolled_back_event_leaves_no_gap(engine: AsyncEngine, clock: FixedClock) -> None:
    with pytest.raises(ZeroDivisionError):
        async with transaction(engine) as tx:
            await append(tx, clock)
            raise ZeroDivisionError
    async with transaction(engine) as tx:
        assert await append(tx, clock) == 1


async def test_writers_at_once_get_numbers_without_gap_or_repeat(engine: AsyncEngine, clock: FixedClock) -> None:
    async def write() -> int:
        async with transaction(engine) as tx:
            return await append(tx, clock)

    assert sorted(await asyncio.gather(*(write() for _ in range(24)))) == list(range(1, 25))


async def test_a_commit_wakes_listeners(engine: AsyncEngine, clock: FixedClock, url: str) -> None:
    woken = asyncio.Event()
    listener = await asyncpg.connect(url)
    await listener.add_listener(OUTBOX_CHANNEL, lambda *_: woken.set())
    async with transaction(engine) as tx:
        await append(tx, clock)
        assert not woken.is_set()
    async with asyncio.timeout(60):
        await woken.wait()
    await listener.close()


def test_partitions_cover_any_number() -> None:
    assert {partition_of(key) for key in range(-100, 100)} == set(range(PARTITIONS))


async def test_an_event_that_could_not_be_replayed_is_refused(engine: AsyncEngine, clock: FixedClock) -> None:
    async def append_bytes(size: int) -> int:
        async with transaction(engine) as tx:
            return await append(tx, clock, payload=bytes(size))

    with pytest.raises(EventTooLarge, match="AllocationDecided of allocations/master-1 has 786433 bytes"):
        await append_bytes(MAX_PAYLOAD_BYTES + 1)
    assert await append_bytes(MAX_PAYLOAD_BYTES) == 1
