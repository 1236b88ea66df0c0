"""Processes that share the partitions, die and fall asleep."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from events_sample.world import all_applied, publish, relay, running
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.events import Redis
from apportion.storage import transaction
from apportion.testing.polling import eventually

WORKER = Path(__file__).parent / "events_sample" / "worker.py"
LEASE_SECONDS = 1.5
ROUNDS = 3

StartWorker = Callable[[str], Coroutine[Any, Any, asyncio.subprocess.Process]]


@pytest.fixture
async def start_worker(subscriber_url: str, redis_url: str, replay_address: str) -> AsyncIterator[StartWorker]:
    started: list[asyncio.subprocess.Process] = []

    async def start_worker(owner: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, WORKER, subscriber_url, redis_url, replay_address, owner, str(LEASE_SECONDS),
            env=os.environ | {"PYTHONPATH": str(WORKER.parent.parent)}, stdout=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        started.append(process)
        return process

    yield start_worker
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def shares(subscriber: AsyncEngine) -> dict[str, int]:
    """Partitions with a living lease per owner."""
    async with transaction(subscriber) as tx:
        rows = await tx.execute(
            text("SELECT owner, count(*) AS held FROM leases WHERE lease_until > clock_timestamp() GROUP BY owner")
        )
        return {row.owner: row.held for row in rows}


@asynccontextmanager
async def load(publisher: AsyncEngine, seed: int) -> AsyncIterator[None]:
    choice = random.Random(seed)

    async def write() -> None:
        while True:
            await publish(publisher, choice.randrange(100), count=choice.choice([1, 2, 5]))
            await asyncio.sleep(choice.random() * 0.03)

    async with running(write):
        yield


async def test_partitions_are_shared_and_pass_on_from_a_sleeping_worker_that_then_does_no_harm(
    publisher: AsyncEngine, subscriber: AsyncEngine, redis: Redis, start_worker: StartWorker
) -> None:
    async with running(relay(publisher, redis).run):
        first = await start_worker("first")
        await start_worker("second")
        async with load(publisher, 1):
            await eventually(lambda: are(subscriber, {"first": 32, "second": 32}))
            first.send_signal(signal.SIGSTOP)
            # A transaction that fell asleep holds its fence until PostgreSQL ends it, after 10 seconds.
            await eventually(lambda: are(subscriber, {"second": 64}))
            first.send_signal(signal.SIGCONT)
            await eventually(lambda: are(subscriber, {"first": 32, "second": 32}))
        await eventually(lambda: all_applied(publisher, subscriber))


async def test_killed_worker_is_replaced_and_no_event_is_applied_twice(
    publisher: AsyncEngine, subscriber: AsyncEngine, redis: Redis, start_worker: StartWorker
) -> None:
    async with running(relay(publisher, redis).run), load(publisher, 2):
        worker = await start_worker("worker-0")
        for number in range(1, ROUNDS + 1):
            before = await applied_count(subscriber)
            await eventually(lambda before=before: grown(subscriber, before))
            worker.kill()  # somewhere between an event's first statement and its commit
            worker = await start_worker(f"worker-{number}")
    await eventually(lambda: all_applied(publisher, subscriber))


async def are(subscriber: AsyncEngine, wanted: dict[str, int]) -> bool:
    return await shares(subscriber) == wanted


async def applied_count(subscriber: AsyncEngine) -> int:
    async with transaction(subscriber) as tx:
        count: int = (await tx.execute(text("SELECT count(*) FROM applied"))).scalar_one()
        return count


async def grown(subscriber: AsyncEngine, before: int) -> bool:
    return await applied_count(subscriber) > before + 20
