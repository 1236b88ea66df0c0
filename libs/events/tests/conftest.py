from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.events import Redis, ReplayPort
from apportion.storage import create_engine
from apportion.testing.plugin import EngineFor, MakeDatabase

sys.path.insert(0, str(Path(__file__).parent))  # for events_sample, the made-up services

from events_sample.world import replay_client, replay_server


@pytest.fixture
async def publisher(engine_for: EngineFor) -> AsyncEngine:
    return await engine_for("events_sample")


@pytest.fixture
async def subscriber_url(make_database: MakeDatabase) -> str:
    return await make_database("events_sample")


@pytest.fixture
async def subscriber(subscriber_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(subscriber_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    redis = Redis(redis_url)
    yield redis
    await redis.close()


@pytest.fixture
async def replay_address(publisher: AsyncEngine) -> AsyncIterator[str]:
    async with replay_server(publisher) as address:
        yield address


@pytest.fixture
async def port(replay_address: str) -> AsyncIterator[ReplayPort]:
    async with replay_client(replay_address) as port:
        yield port
