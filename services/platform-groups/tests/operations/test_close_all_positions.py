"""What a closing orders and counts while its orders, its reports and its owners change."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import StaleEpoch
from apportion.platform_groups.app import SCHEMA
from apportion.platform_groups.domain.server_facts import ServerPosition
from apportion.platform_groups.operations.close_all_positions import advance_closings
from apportion.runtime import SystemClock
from apportion.storage import create_engine, transaction
from apportion.storage.leases import Lease, LeaseKeeper
from apportion.testing.plugin import MakeDatabase

LEASE_KEY = "1/7"
ROWS = (
    """INSERT INTO trading_servers (trading_server_id, label, name, type, kind, host, port, time_zone, manager_login,
        manager_password_sealed, ca_certificate_pem, region, liquidity_provider, create_time)
    VALUES (1, 1, 'demo', 1, 1, 'mt5', 443, 'Europe/Helsinki', 1000, '', '', '', '', now())""",
    """INSERT INTO platform_groups (platform_group_id, label, trading_server_id, name, server_group, currency_code,
        currency_digits, default_leverage, account_capacity, weight, tags, backup_platform_group_id, create_time)
    VALUES (1, 1, 1, 'demo', 'demo', 'USD', 2, 100, 0, 1, '{}', 0, now())""",
    """INSERT INTO accounts (account_id, label, platform_group_id, trading_server_id, kind, state, access,
        wanted_access, login, currency_code, currency_digits, leverage, holder_name, wallet_account_id,
        initial_balance_minor, request_id, attempt_time, create_time)
    VALUES (7, 1, 1, 1, 1, 2, 1, 1, 1001, 'USD', 2, 100, 'Ada', 0, 0, gen_random_uuid(), now(), now())""",
    """INSERT INTO closings (label, account_id, trading_server_id, shard, state, cause, create_time)
    VALUES (1, 7, 1, 7, 1, 'test', now())""",
)
POSITION = ServerPosition(
    position_ticket=9,
    login=1001,
    symbol="EURUSD",
    volume_e8=40_000_000,
    open_price_e8=110_000_000,
    stop_loss_e8=0,
    take_profit_e8=0,
    profit_minor=0,
    swap_minor=0,
    server_time_ms=0,
    comment="",
)


class Server:
    """Reports; the close orders under way end while it does."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self.reported = [POSITION]

    async def positions(self, _login: int) -> list[ServerPosition]:
        async with transaction(self._engine) as tx:
            await tx.execute(text("UPDATE orders SET state = 4"))
            # Whatever pause there is between two attempts has passed.
            await tx.execute(text("UPDATE closings SET attempt_time = now() - interval '1 minute'"))
        return self.reported


@pytest.fixture
async def engine(make_database: MakeDatabase) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(await make_database(SCHEMA))
    async with transaction(engine) as tx:
        for row in ROWS:
            await tx.execute(text(row))
    yield engine
    await engine.dispose()


@pytest.fixture
async def lease(engine: AsyncEngine) -> Lease:
    keeper = LeaseKeeper(engine, "egress", [LEASE_KEY], "one", clock=SystemClock(), ttl_seconds=60)
    await keeper.refresh()
    return keeper.held[LEASE_KEY]


async def advance(engine: AsyncEngine, server: Server, lease: Lease) -> tuple[int, int, int]:
    """One step; then how many orders there are, how many attempts and how many flat reports."""
    await advance_closings(engine, server, 1, [lease], SystemClock())  # type: ignore[arg-type]
    return await counts(engine)


async def counts(engine: AsyncEngine) -> tuple[int, int, int]:
    query = text("SELECT (SELECT count(*) FROM orders), attempt_count, flat_count FROM closings")
    async with transaction(engine) as tx:
        return tuple((await tx.execute(query)).one())


async def test_a_report_made_while_a_close_ended_orders_no_second_one_and_is_not_flat(
    engine: AsyncEngine, lease: Lease
) -> None:
    server = Server(engine)
    assert await advance(engine, server, lease) == (1, 1, 0)
    assert await advance(engine, server, lease) == (1, 1, 0)
    assert await advance(engine, server, lease) == (2, 2, 0)
    server.reported = []
    assert await advance(engine, server, lease) == (2, 2, 0)
    assert await advance(engine, server, lease) == (2, 2, 1)


@pytest.mark.parametrize("reported", [[POSITION], []])
async def test_a_worker_whose_lease_has_passed_on_writes_nothing(
    engine: AsyncEngine, lease: Lease, reported: list[ServerPosition]
) -> None:
    server = Server(engine)
    server.reported = reported
    with pytest.raises(StaleEpoch):
        await advance(engine, server, replace(lease, owner="another"))
    assert await counts(engine) == (0, 0, 0)
