"""A worker creates an account only while the lease of its shard is its own, up to the very write."""

from __future__ import annotations

from datetime import timedelta

import pytest
from platform_world import LOGIN, SERVER_ID, store, take_shard
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import StaleEpoch
from apportion.platform_groups.domain.server_facts import NewUser, NotSent, ServerUser
from apportion.platform_groups.operations.finish_accounts import finish_creating
from apportion.platform_groups.operations.ports import Permit
from apportion.runtime.clock import FixedClock
from apportion.storage import transaction
from apportion.storage.leases import Lease

TIMEOUT = timedelta(seconds=15)
LEFT_CREATING = "UPDATE accounts SET state = 1, login = NULL, attempt_time = '-infinity'"


class Server:
    """A trading server without accounts, which is slow to be reached."""

    def __init__(self) -> None:
        self.added: list[NewUser] = []

    async def get(self, _trading_server_id: int) -> Server:
        return self

    async def users_of_group(self, _group: str) -> list[ServerUser]:
        return []

    async def add_user(self, user: NewUser, permit: Permit) -> int:
        if not permit():
            raise NotSent("no longer permitted")
        self.added.append(user)
        return LOGIN


@pytest.fixture
async def lease(engine: AsyncEngine, clock: FixedClock) -> Lease:
    """Of the shard of an account whose creation nobody finished."""
    await store(engine, LEFT_CREATING)
    return await take_shard(engine, clock)


async def finish(engine: AsyncEngine, server: Server, clock: FixedClock, lease: Lease, *, held: bool = True) -> None:
    """One round, later than the one before by more than the answer timeout."""
    clock.advance(2 * TIMEOUT.total_seconds())
    await finish_creating(
        engine,
        server,  # type: ignore[arg-type]
        lambda: "Secret1!",
        SERVER_ID,
        [lease],
        clock,
        is_held=lambda _lease: held,
        answer_timeout=TIMEOUT,
    )


async def state(engine: AsyncEngine) -> int:
    async with transaction(engine) as tx:
        return int((await tx.execute(text("SELECT state FROM accounts"))).scalar_one())


async def test_an_account_is_created_after_two_reports_without_it(engine, lease, clock) -> None:
    server = Server()
    await finish(engine, server, clock, lease)
    assert server.added == []
    await finish(engine, server, clock, lease)
    assert len(server.added) == 1
    assert await state(engine) == 2


async def test_a_lease_that_runs_out_before_the_write_creates_nothing(engine, lease, clock) -> None:
    server = Server()
    for _ in range(3):
        await finish(engine, server, clock, lease, held=False)
    assert server.added == []
    assert await state(engine) == 1
    for _ in range(2):
        await finish(engine, server, clock, lease)
    assert len(server.added) == 1


async def test_a_worker_whose_lease_has_passed_on_counts_nothing(engine, lease, clock) -> None:
    await store(engine, "UPDATE leases SET epoch = epoch + 1, owner = 'second'")
    server = Server()
    for _ in range(3):
        with pytest.raises(StaleEpoch):
            await finish(engine, server, clock, lease)
    assert server.added == []
    async with transaction(engine) as tx:
        assert (await tx.execute(text("SELECT absent_count FROM accounts"))).scalar_one() == 0
