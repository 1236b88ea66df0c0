from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.runtime import ServiceSettings
from apportion.storage import purge as module
from apportion.storage import transaction
from apportion.storage.purge import Purge

EVENTS = """
    INSERT INTO outbox (event_id, label, aggregate_type, aggregate_id, sequence, partition, type, payload,
                        occurred_time, published_time)
    SELECT gen_random_uuid(), 1, 'deals', :name, number, 0, 'E', '', now() - :occurred * interval '1 day',
           now() - :published * interval '1 day'
    FROM generate_series(1, :count) AS number
"""
REQUEST = """
    INSERT INTO request_ids (label, method, request_id, input_hash, answer, created_time)
    VALUES (1, :name, gen_random_uuid(), '', '{}', now() - :age * interval '1 day')
"""
SET_ASIDE = """
    INSERT INTO inbox_set_aside (label, aggregate_type, aggregate_id, sequence, part, type, payload, error,
                                 set_aside_time, settled_time)
    VALUES (1, 'deals', '1', 1, :name, 'E', '', '', now() - interval '400 days', now() - :age * interval '1 day')
"""


@pytest.fixture
def settings() -> ServiceSettings:
    return ServiceSettings(database_url="", insecure=True, outbox_retention_days=30, request_retention_days=90)


async def add_events(
    engine: AsyncEngine, name: str, *, occurred: float, published: float | None, count: int = 1
) -> None:
    values = {"name": name, "occurred": occurred, "published": published, "count": count}
    async with transaction(engine) as tx:
        await tx.execute(text(EVENTS), values)


async def names(engine: AsyncEngine, column: str, table: str) -> list[str]:
    async with transaction(engine) as tx:
        return list((await tx.execute(text(f"SELECT DISTINCT {column} FROM {table} ORDER BY 1"))).scalars())


async def test_published_events_go_after_their_retention(engine: AsyncEngine, settings: ServiceSettings) -> None:
    await add_events(engine, "old", occurred=31, published=31)
    await add_events(engine, "published late", occurred=40, published=29)
    await add_events(engine, "never published", occurred=400, published=None)
    await add_events(engine, "young", occurred=1, published=1)
    await Purge(engine, settings).purge()
    assert await names(engine, "aggregate_id", "outbox") == ["never published", "published late", "young"]


async def test_answers_and_settled_parts_go_after_theirs(engine: AsyncEngine, settings: ServiceSettings) -> None:
    async with transaction(engine) as tx:
        for age in (89, 91):
            await tx.execute(text(REQUEST), {"name": f"{age} days", "age": age})
            await tx.execute(text(SET_ASIDE), {"name": f"{age} days", "age": age})
        await tx.execute(text(SET_ASIDE), {"name": "open", "age": None})
    await Purge(engine, settings).purge()
    assert await names(engine, "method", "request_ids") == ["89 days"]
    assert await names(engine, "part", "inbox_set_aside") == ["89 days", "open"]


async def test_several_workers_share_the_batches(
    engine: AsyncEngine, settings: ServiceSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 100)
    await add_events(engine, "old", occurred=31, published=31, count=1_050)
    before = module.PURGED.labels("outbox")._value.get()
    await asyncio.gather(*(Purge(engine, settings).purge() for _ in range(3)))
    assert await names(engine, "aggregate_id", "outbox") == []
    assert module.PURGED.labels("outbox")._value.get() - before == 1_050


async def test_a_row_in_use_is_left_for_the_next_hour(engine: AsyncEngine, settings: ServiceSettings) -> None:
    await add_events(engine, "old", occurred=31, published=31, count=2)
    async with transaction(engine) as tx:
        await tx.execute(text("SELECT FROM outbox WHERE sequence = 1 FOR SHARE"))
        await Purge(engine, settings).purge()
        assert (await tx.execute(text("SELECT sequence FROM outbox"))).scalars().all() == [1]
    await Purge(engine, settings).purge()
    assert await names(engine, "aggregate_id", "outbox") == []
