"""What a lane makes of answers that the database did not take: they are saved before anything is sent again."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.errors import VersionConflict
from apportion.platform_groups.app import SCHEMA
from apportion.platform_groups.domain.orders import Answer, AnswerKind, SentOrder
from apportion.platform_groups.domain.server_facts import NotSent
from apportion.platform_groups.domain.states import OrderPurpose
from apportion.platform_groups.domain.transfers import SentLeg
from apportion.platform_groups.workers.held_shards import HeldShards
from apportion.platform_groups.workers.lane import SendingLane
from apportion.platform_groups.workers.leg_lane import LegLane
from apportion.platform_groups.workers.order_lane import KEPT_FOR_CLOSES, OUTSTANDING, OrderLane
from apportion.platform_groups.workers.server_clock import ServerClock
from apportion.runtime import SystemClock
from apportion.storage import create_engine, transaction
from apportion.storage.leases import LeaseKeeper
from apportion.testing.plugin import MakeDatabase
from apportion.testing.polling import eventually

SERVER_ID, ACCOUNT, SHARD = 1, 7, 7
LEASE_KEY = f"{SERVER_ID}/{SHARD}"
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
)
TRANSFER = """INSERT INTO transfers (transfer_id, label, source, item_id, source_id, ordering_key, debit_account_id,
        credit_account_id, currency_code, amount_minor, state, cause, create_time)
    VALUES (1, 1, 'fees', 1, 'fees/1', 1, 0, 7, 'USD', 250, 1, 'test', now())"""
LEG = """INSERT INTO transfer_legs (leg_id, transfer_id, kind, trading_server_id, shard, account_id, login,
        amount_minor, currency_digits, state, next_attempt_time, update_time)
    VALUES (6, 1, 2, 1, 7, 7, 1001, 250, 2, 2, now(), now())"""
CLOSE = """INSERT INTO orders (label, trading_server_id, shard, account_id, login, source_id, item_id, ordering_key,
        purpose, symbol, volume_e8, sent_volume_e8, position_ticket, stop_loss_e8, take_profit_e8, state,
        next_attempt_time, create_time, update_time)
    VALUES (1, 1, 7, 7, 1001, 'close', 1, 7, 2, 'EURUSD', -40000000, -40000000, 9, 0, 0, 1, now(), now(), now())"""


OPEN = """INSERT INTO orders (label, trading_server_id, shard, account_id, login, source_id, item_id, ordering_key,
        purpose, symbol, volume_e8, sent_volume_e8, position_ticket, stop_loss_e8, take_profit_e8, state,
        not_after_time, next_attempt_time, create_time, update_time)
    VALUES (1, 1, 7, 7, 1001, 'open', 1, 7, 1, 'EURUSD', 40000000, 40000000, 0, 0, 0, 1,
        now() + interval '1 hour', now(), now(), now())"""
WAITING = SentOrder(99, ACCOUNT, 1001, SHARD, OrderPurpose.OPEN, "EURUSD", 100, 0, 0, 0, 0, 0, None, 1, 1)
OTHER_LEG = LEG.replace("(6, 1, 2,", "(7, 1, 3,")


class Server:
    """Does not take the first request, and lets nobody save that; then it takes all."""

    def __init__(self, engine: AsyncEngine, table: str) -> None:
        self._engine = engine
        self._table = table
        self._blocker: AsyncConnection | None = None
        self.request_count = 0
        self.collect_count = 0
        self.outstanding: list[SentOrder] = []

    async def server_time_ms(self) -> int:
        return 1_000

    @property
    def outstanding_count(self) -> int:
        return len(self.outstanding)

    async def book_leg(self, _leg: SentLeg, _permit: Callable[[], bool]) -> int:
        if await self._is_first():
            raise NotSent("no connection")
        return 77

    async def send(self, order: SentOrder, _permit: Callable[[], bool]) -> Answer | None:
        if await self._is_first():
            return Answer(AnswerKind.NOT_TAKEN, "NOT_SENT")
        self.outstanding.append(order)
        return None

    async def collect(self) -> list[tuple[SentOrder, Answer]]:
        self.collect_count += bool(self.outstanding)
        return []

    async def _is_first(self) -> bool:
        self.request_count += 1
        if self.request_count == 1:
            self._blocker = await self._engine.connect()
            await self._blocker.execute(text(f"SELECT FROM {self._table} FOR UPDATE"))
        return self.request_count == 1

    async def unblock(self) -> None:
        assert self._blocker is not None
        await self._blocker.close()


@pytest.fixture
async def engine(make_database: MakeDatabase) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(await make_database(SCHEMA))
    async with transaction(engine) as tx:
        for row in ROWS:
            await tx.execute(text(row))
    yield engine
    await engine.dispose()


async def held_shard(engine: AsyncEngine) -> HeldShards:
    keeper = LeaseKeeper(engine, "egress", [LEASE_KEY], "one", clock=SystemClock(), ttl_seconds=60)
    await keeper.refresh()
    shards = HeldShards(SERVER_ID, keeper.valid)
    shards.add(keeper.held[LEASE_KEY])
    return shards


async def is_in_state(engine: AsyncEngine, table: str, state: int) -> bool:
    async with transaction(engine) as tx:
        return (await tx.execute(text(f"SELECT state FROM {table}"))).scalar_one() == state


@asynccontextmanager
async def running(lane: SendingLane) -> AsyncIterator[None]:
    task = asyncio.create_task(lane.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_leg_is_not_booked_twice_for_an_answer_that_was_saved_late(engine: AsyncEngine) -> None:
    """The server's records showed no trace of the first sending, and the leg is due again, when the lane comes back."""
    async with transaction(engine) as tx:
        await tx.execute(text(TRANSFER))
        await tx.execute(text(LEG))
    server, clock = Server(engine, "transfer_legs"), SystemClock()
    shards = await held_shard(engine)
    lane = LegLane(engine, server, shards, ServerClock(server, clock), clock, uuid.uuid4)  # type: ignore[arg-type]
    with pytest.raises(VersionConflict):
        await lane.run()
    await server.unblock()
    async with transaction(engine) as tx:
        await tx.execute(text("UPDATE transfer_legs SET state = 2, next_attempt_time = now()"))
    async with running(lane):
        await eventually(lambda: is_in_state(engine, "transfer_legs", 5), 60)
    assert server.request_count == 2


async def test_an_order_on_the_wire_is_not_sent_again_for_an_answer_that_was_saved_late(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        await tx.execute(text(CLOSE))
    session, clock = Server(engine, "orders"), SystemClock()
    shards = await held_shard(engine)
    server_clock = ServerClock(session, clock)  # type: ignore[arg-type]
    lane = OrderLane(engine, session, shards, server_clock, clock, uuid.uuid4, price_age_seconds=5)  # type: ignore[arg-type]
    with pytest.raises(VersionConflict):
        await lane.run()
    await session.unblock()
    async with transaction(engine) as tx:
        await tx.execute(text("UPDATE orders SET state = 1, next_attempt_time = now()"))
    async with running(lane):
        await eventually(lambda: session.collect_count > 3, 60)
        assert await is_in_state(engine, "orders", 2)
    assert session.request_count == 2


class BrokenServer:
    """Breaks at the first leg while the second waits for its connection."""

    def __init__(self) -> None:
        self.waiting = asyncio.Event()
        self.permit = asyncio.Event()
        self.booked: list[int] = []

    async def server_time_ms(self) -> int:
        return 1_000

    async def book_leg(self, leg: SentLeg, _permit: Callable[[], bool]) -> int:
        if leg.leg_id == 6:
            await self.waiting.wait()
            raise RuntimeError("a bug")
        self.waiting.set()
        await self.permit.wait()
        self.booked.append(leg.leg_id)
        return 77


async def test_a_lane_that_breaks_leaves_no_leg_behind_on_its_way_to_the_wire(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        for row in (TRANSFER, LEG, OTHER_LEG):
            await tx.execute(text(row))
    server, clock = BrokenServer(), SystemClock()
    shards = await held_shard(engine)
    lane = LegLane(engine, server, shards, ServerClock(server, clock), clock, uuid.uuid4)  # type: ignore[arg-type]
    run = asyncio.create_task(lane.run())
    await server.waiting.wait()
    await asyncio.wait([run], timeout=0.1)
    assert not run.done()
    server.permit.set()
    with pytest.raises(RuntimeError, match="a bug"):
        await run
    assert server.booked == [7]


@pytest.mark.parametrize(
    ("outstanding_count", "sent"),
    [
        (OUTSTANDING - KEPT_FOR_CLOSES - 1, [OrderPurpose.CLOSE]),
        (OUTSTANDING - KEPT_FOR_CLOSES - 2, [OrderPurpose.CLOSE, OrderPurpose.OPEN]),
        (OUTSTANDING - KEPT_FOR_CLOSES, [OrderPurpose.CLOSE]),
        (OUTSTANDING - 1, [OrderPurpose.CLOSE]),
    ],
)
async def test_a_server_that_is_slow_to_answer_opens_still_takes_closes(
    engine: AsyncEngine, outstanding_count: int, sent: list[OrderPurpose]
) -> None:
    async with transaction(engine) as tx:
        await tx.execute(text(OPEN))
        await tx.execute(text(CLOSE))
    session, clock = Server(engine, "orders"), SystemClock()
    session.request_count = 1  # none is refused
    session.outstanding = [WAITING] * outstanding_count
    server_clock = ServerClock(session, clock)  # type: ignore[arg-type]
    shards = await held_shard(engine)
    lane = OrderLane(engine, session, shards, server_clock, clock, uuid.uuid4, price_age_seconds=5)  # type: ignore[arg-type]
    async with running(lane):
        await eventually(lambda: len(session.outstanding) >= outstanding_count + len(sent), 60)
        await eventually(lambda: session.collect_count > 3, 60)
    assert [order.purpose for order in session.outstanding[outstanding_count:]] == sent
