"""What a closing orders and counts while its orders, its reports and its owners change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from platform_world import ACCOUNT_ID, LOGIN, SERVER_ID, SHARD, store, take_shard
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import StaleEpoch
from apportion.platform_groups.domain.server_facts import ServerPosition
from apportion.platform_groups.operations.close_all_positions import advance_closings
from apportion.runtime import SystemClock
from apportion.storage import transaction
from apportion.storage.leases import Lease

CLOSING_ROW = f"""
    INSERT INTO closings (label, account_id, trading_server_id, shard, state, cause, create_time)
    VALUES (1, {ACCOUNT_ID}, {SERVER_ID}, {SHARD}, 1, 'test', now())"""
POSITION = ServerPosition(
    position_ticket=9,
    login=LOGIN,
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
async def lease(engine: AsyncEngine) -> Lease:
    """Of the shard of an account that is being closed."""
    await store(engine, CLOSING_ROW)
    return await take_shard(engine, SystemClock())


async def advance(engine: AsyncEngine, server: Server, lease: Lease) -> tuple[int, int, int]:
    """One step; then how many orders there are, how many attempts and how many flat reports."""
    await advance_closings(engine, server, SERVER_ID, [lease], SystemClock())  # type: ignore[arg-type]
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
