"""The outbox reaches the streams, in order, soon, and again when Redis forgets."""

from __future__ import annotations

import asyncio

from events_sample.world import TOPIC, heads, publish, relay, running
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.common.v1.events_pb2 import Event
from apportion.events import Redis
from apportion.storage import transaction
from apportion.testing.polling import eventually


async def entries(redis: Redis, partition: int) -> list[Event]:
    rows = await redis.command("XRANGE", f"events:{TOPIC}:{partition}", "-", "+")
    return [Event.FromString(fields[1]) for _, fields in rows]


async def unpublished(publisher: AsyncEngine) -> int:
    async with transaction(publisher) as tx:
        count: int = (await tx.execute(text("SELECT count(*) FROM outbox WHERE published_time IS NULL"))).scalar_one()
        return count


async def all_published(publisher: AsyncEngine) -> bool:
    return await unpublished(publisher) == 0


async def test_concurrent_writers_reach_the_streams_complete_and_in_order(publisher: AsyncEngine, redis: Redis) -> None:
    async def write(writer: int) -> None:
        for step in range(40):
            await publish(publisher, (writer * 7 + step) % 10)

    async with running(relay(publisher, redis).run):
        await asyncio.gather(*(write(writer) for writer in range(16)))
        await eventually(lambda: all_published(publisher))
    wanted = await heads(publisher)
    assert sum(wanted.values()) == 16 * 40
    for aggregate_id, newest in wanted.items():
        events = [event for event in await entries(redis, int(aggregate_id)) if event.aggregate_id == aggregate_id]
        assert [event.sequence for event in events] == list(range(1, newest + 1))


async def test_more_than_a_batch_is_published(publisher: AsyncEngine, redis: Redis) -> None:
    await publish(publisher, 1, count=700)
    await publish(publisher, 2, count=700)
    async with running(relay(publisher, redis).run):
        await eventually(lambda: all_published(publisher))
    assert [event.sequence for event in await entries(redis, 1)][-1] == 700
    assert [event.sequence for event in await entries(redis, 2)][-1] == 700


async def test_wiped_redis_gets_the_last_minutes_again(publisher: AsyncEngine, redis: Redis) -> None:
    async with running(relay(publisher, redis).run):
        await publish(publisher, 1, count=600)
        await eventually(lambda: all_published(publisher))
        await redis.command("FLUSHDB")
        await eventually(lambda: has_entries(redis, 1, 600))
    await redis.command("FLUSHDB")
    async with running(relay(publisher, redis, "another process").run):
        await eventually(lambda: has_entries(redis, 1, 600))


async def test_one_of_two_relays_works_and_the_other_takes_over(publisher: AsyncEngine, redis: Redis) -> None:
    async with running(relay(publisher, redis, "a").run):
        await publish(publisher, 1)
        await eventually(lambda: has_entries(redis, 1, 1))
        async with running(relay(publisher, redis, "b").run):
            await publish(publisher, 1, count=50)
            await eventually(lambda: has_entries(redis, 1, 51))
    assert len(await entries(redis, 1)) == 51
    async with running(relay(publisher, redis, "b").run):
        await publish(publisher, 1)
        await eventually(lambda: has_entries(redis, 1, 52))


async def has_entries(redis: Redis, partition: int, count: int) -> bool:
    return len(await entries(redis, partition)) >= count
