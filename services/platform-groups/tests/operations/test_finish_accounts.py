"""A worker creates an account only while the lease of its shard is its own, up to the very write."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import StaleEpoch
from apportion.platform_groups.domain.server_facts import NewUser, NotSent, ServerUser
from apportion.platform_groups.operations.finish_accounts import finish_creating
from apportion.platform_groups.operations.ports import Permit
from apportion.runtime.clock import FixedClock
from apportion.storage import create_engine, transaction
from apportion.storage.leases import Lease, LeaseKeeper
from apportion.testing.plugin import MakeDatabase

SCHEMA = "apportion.platform_groups.storage"
TIMEOUT = timedelta(seconds=15)
ACCOUNT_ID = 8
ROWS = (
    """INSERT INTO trading_servers (trading_server_id, label, name, type, kind, host, port, time_zone, manager_login,
        manager_password_sealed, ca_certificate_pem, region, liquidity_provider, create_time)
    VALUES (1, 1, 'demo', 1, 1, 'mt5', 443, 'Europe/Helsinki', 1000, '', '', '', '', now())""",
    """INSERT INTO platform_groups (platform_group_id, label, trading_server_id, name, server_group, currency_code,
        currency_digits, default_leverage, account_capacity, weight, tags, backup_platform_group_id, create_time)
    VALUES (1, 1, 1, 'demo', 'demo', 'USD', 2, 100, 0, 1, '{}', 0, now())""",
    f"""INSERT INTO accounts (account_id, label, platform_group_id, trading_server_id, kind, state, access,
        wanted_access, currency_code, currency_digits, leverage, holder_name, wallet_account_id,
        initial_balance_minor, request_id, attempt_time, create_time)
    VALUES ({ACCOUNT_ID}, 1, 1, 1, 1, 1, 1, 1, 'USD', 2, 100, 'Ada', 0, 0, gen_random_uuid(), :long_ago, :long_ago)""",
)


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
        return 1001


@pytest.fixture
async def engine(make_database: MakeDatabase, clock: FixedClock) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(await make_database(SCHEMA))
    async with transaction(engine) as tx:
        for row in ROWS:
            await tx.execute(text(row), {"long_ago": clock.now() - timedelta(days=1)} if ":long_ago" in row else {})
    yield engine
    await engine.dispose()


@pytest.fixture
async def lease(engine: AsyncEngine, clock: FixedClock) -> Lease:
    keeper = LeaseKeeper(engine, "egress", ["1/0"], "first", clock=clock)
    await keeper.refresh()
    return keeper.held["1/0"]


async def finish(engine: AsyncEngine, server: Server, clock: FixedClock, lease: Lease, *, held: bool = True) -> None:
    """One round, later than the one before by more than the answer timeout."""
    clock.advance(2 * TIMEOUT.total_seconds())
    await finish_creating(
        engine,
        server,  # type: ignore[arg-type]
        lambda: "Secret1!",
        1,
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
    async with transaction(engine) as tx:
        await tx.execute(text("UPDATE leases SET epoch = epoch + 1, owner = 'second'"))
    server = Server()
    for _ in range(3):
        with pytest.raises(StaleEpoch):
            await finish(engine, server, clock, lease)
    assert server.added == []
    async with transaction(engine) as tx:
        assert (await tx.execute(text("SELECT absent_count FROM accounts"))).scalar_one() == 0
