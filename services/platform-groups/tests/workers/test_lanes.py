"""What a lane makes of answers that the database did not take: they are saved before anything is sent again."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from platform_world import (
    ACCOUNT_ID,
    CLOSE_ROW,
    LEASE_KEY,
    LOGIN,
    OPEN_ROW,
    SERVER_ID,
    SHARD,
    WITHDRAWAL_ROW,
    leg_row,
    shard_keeper,
    store,
)
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import VersionConflict
from apportion.platform_groups.domain.orders import Answer, AnswerKind, SentOrder
from apportion.platform_groups.domain.server_facts import NotSent, OutcomeUnknown, ServerFailure, ServerRefused
from apportion.platform_groups.domain.states import LegKind, LegState, OrderPurpose
from apportion.platform_groups.domain.transfers import SentLeg
from apportion.platform_groups.operations.void_opens import void_opens
from apportion.platform_groups.workers.held_shards import HeldShards
from apportion.platform_groups.workers.lane import SendingLane
from apportion.platform_groups.workers.leg_lane import LegLane
from apportion.platform_groups.workers.order_lane import KEPT_FOR_CLOSES, OUTSTANDING, OrderLane
from apportion.platform_groups.workers.server_clock import ServerClock
from apportion.runtime import SystemClock
from apportion.runtime.clock import FixedClock
from apportion.storage import RequestKey, transaction
from apportion.testing.polling import eventually

ORDERING_KEY = 7
"""Of the rows of orders."""
LEG_ROW = leg_row(6, LegKind.CREDIT, LegState.READY)
OTHER_LEG_ROW = leg_row(7, LegKind.REFUND, LegState.READY)
WAITING = SentOrder(99, ACCOUNT_ID, LOGIN, SHARD, OrderPurpose.OPEN, "EURUSD", 100, 0, 0, 0, 0, 0, None, 1, 1)


class Server:
    """Does not take the first request, and lets nobody save that; then it takes all."""

    def __init__(self, engine: AsyncEngine, table: str) -> None:
        self._engine = engine
        self._table = table
        self._blocker = AsyncExitStack()
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
            tx = await self._blocker.enter_async_context(transaction(self._engine))
            await tx.execute(text(f"SELECT FROM {self._table} FOR UPDATE"))
        return self.request_count == 1

    async def unblock(self) -> None:
        await self._blocker.aclose()


async def held_shard(engine: AsyncEngine) -> HeldShards:
    keeper = await shard_keeper(engine, SystemClock())
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
    await store(engine, WITHDRAWAL_ROW, LEG_ROW)
    server, clock = Server(engine, "transfer_legs"), SystemClock()
    shards = await held_shard(engine)
    lane = LegLane(engine, server, shards, ServerClock(server, clock), clock, uuid.uuid4)  # type: ignore[arg-type]
    with pytest.raises(VersionConflict):
        await lane.run()
    await server.unblock()
    await store(engine, "UPDATE transfer_legs SET state = 2, next_attempt_time = now()")
    async with running(lane):
        await eventually(lambda: is_in_state(engine, "transfer_legs", 5), 60)
    assert server.request_count == 2


async def test_an_order_on_the_wire_is_not_sent_again_for_an_answer_that_was_saved_late(engine: AsyncEngine) -> None:
    await store(engine, CLOSE_ROW)
    session, clock = Server(engine, "orders"), SystemClock()
    shards = await held_shard(engine)
    server_clock = ServerClock(session, clock)  # type: ignore[arg-type]
    lane = OrderLane(engine, session, shards, server_clock, clock, uuid.uuid4, price_age_seconds=5)  # type: ignore[arg-type]
    with pytest.raises(VersionConflict):
        await lane.run()
    await session.unblock()
    await store(engine, "UPDATE orders SET state = 1, next_attempt_time = now()")
    async with running(lane):
        await eventually(lambda: session.collect_count > 3, 60)
        assert await is_in_state(engine, "orders", 2)
    assert session.request_count == 2


class SlowServer(Server):
    """Takes its time over the first open, during which the master is halted."""

    def __init__(self, engine: AsyncEngine, clock: FixedClock) -> None:
        super().__init__(engine, "orders")
        self._clock = clock

    async def send(self, order: SentOrder, permit: Callable[[], bool]) -> Answer | None:
        if not permit():
            return Answer(AnswerKind.NOT_TAKEN, "NOT_SENT")
        if order.purpose is OrderPurpose.OPEN:
            key = RequestKey(1, "test", str(uuid.uuid4()), b"")
            await void_opens(self._engine, key, ORDERING_KEY, 1, now=self._clock.now())
            self._clock.advance(5)
        self.outstanding.append(order)
        return None


async def test_an_open_that_waits_behind_a_slow_one_is_not_sent_after_a_halt(engine: AsyncEngine) -> None:
    """Both were taken for sending before the halt."""
    next_row = OPEN_ROW.replace("'open', 1,", "'open', 2,")
    await store(engine, OPEN_ROW, next_row, CLOSE_ROW, "UPDATE orders SET halt_epoch = 0 WHERE purpose = 1")
    clock = FixedClock(SystemClock().now())
    session, shards = SlowServer(engine, clock), await held_shard(engine)
    server_clock = ServerClock(session, clock)  # type: ignore[arg-type]
    lane = OrderLane(engine, session, shards, server_clock, clock, uuid.uuid4, price_age_seconds=5)  # type: ignore[arg-type]

    async def ends() -> list[tuple[int, str]]:
        query = text("SELECT item_id, reason FROM orders WHERE source_id = 'open' AND state = 6")
        async with transaction(engine) as tx:
            return [(row.item_id, row.reason) for row in await tx.execute(query)]

    async with running(lane):
        await eventually(lambda: len(session.outstanding) == 2, 60)
        assert await eventually(ends, 60) == [(2, "PAUSED_BY_RISK")]
    assert [order.purpose for order in session.outstanding] == [OrderPurpose.CLOSE, OrderPurpose.OPEN]


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
    await store(engine, WITHDRAWAL_ROW, LEG_ROW, OTHER_LEG_ROW)
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


class CountingServer:
    """Books a leg in several turns of the loop, and counts how many it books side by side."""

    def __init__(self) -> None:
        self.booked: list[int] = []
        self.most: dict[bool, int] = {}
        self._now: Counter[bool] = Counter()

    async def server_time_ms(self) -> int:
        return 1_000

    async def book_leg(self, leg: SentLeg, _permit: Callable[[], bool]) -> int:
        pays = leg.amount_minor < 0
        self._now[pays] += 1
        self.most[pays] = max(self.most.get(pays, 0), self._now[pays])
        for _ in range(5):
            await asyncio.sleep(0)
        self._now[pays] -= 1
        self.booked.append(leg.leg_id)
        return 77


async def test_what_an_account_pays_is_booked_one_after_the_other(engine: AsyncEngine) -> None:
    """The older debt first: a new fee must not take the money from under it. What it gets need not wait."""
    rows = []
    for transfer_id in range(1, 5):
        rows.append(
            WITHDRAWAL_ROW.replace(
                "VALUES (1, 1, 'fees', 1, 'fees/1'",
                f"VALUES ({transfer_id}, 1, 'fees', {transfer_id}, 'fees/{transfer_id}'",
            )
        )
        kind = LegKind.DEBIT if transfer_id < 3 else LegKind.CREDIT
        rows.append(leg_row(4 * transfer_id + kind, kind, LegState.READY).replace(", 1, ", f", {transfer_id}, ", 1))
    await store(engine, *rows)
    server, clock = CountingServer(), SystemClock()
    shards = await held_shard(engine)
    lane = LegLane(engine, server, shards, ServerClock(server, clock), clock, uuid.uuid4)  # type: ignore[arg-type]
    async with running(lane):
        await eventually(lambda: len(server.booked) == 4, 60)
    assert server.most == {True: 1, False: 2}
    assert [leg_id for leg_id in server.booked if leg_id % 4 == LegKind.DEBIT] == [5, 9]


class SilentServer(CountingServer):
    """Does what it does with the first debit, and books all others."""

    def __init__(self, failure: ServerFailure) -> None:
        super().__init__()
        self._failure = failure

    async def book_leg(self, leg: SentLeg, permit: Callable[[], bool]) -> int:
        if leg.leg_id == 5:
            raise self._failure
        return await super().book_leg(leg, permit)


@pytest.mark.parametrize(
    ("failure", "state"),
    [
        (OutcomeUnknown("silence"), LegState.UNKNOWN),
        (NotSent("no connection"), LegState.READY),
        (ServerRefused("CONTEXT_BUSY", temporary=True), LegState.READY),
    ],
)
async def test_behind_a_debit_that_has_not_ended_no_later_one_is_booked(
    engine: AsyncEngine, failure: ServerFailure, state: LegState
) -> None:
    """The older debt first, and a silent server is waited for once in a turn."""
    next_row = WITHDRAWAL_ROW.replace("VALUES (1, 1, 'fees', 1, 'fees/1'", "VALUES (2, 1, 'fees', 2, 'fees/2'")
    debit_rows = [leg_row(leg_id, LegKind.DEBIT, LegState.READY) for leg_id in (5, 9)]
    await store(engine, WITHDRAWAL_ROW, next_row, debit_rows[0], debit_rows[1].replace("(9, 1,", "(9, 2,"))
    await store(engine, "UPDATE transfer_legs SET attempt_count = 3 WHERE leg_id = 5")
    server, clock = SilentServer(failure), FixedClock(SystemClock().now())
    shards = await held_shard(engine)
    lane = LegLane(engine, server, shards, ServerClock(server, clock), clock, uuid.uuid4)  # type: ignore[arg-type]

    async def saved() -> list[tuple[int, bool]]:
        query = """SELECT state, next_attempt_time >= (SELECT next_attempt_time FROM transfer_legs WHERE leg_id = 5)
            FROM transfer_legs WHERE reason <> '' ORDER BY leg_id"""
        async with transaction(engine) as tx:
            return [tuple(row) for row in await tx.execute(text(query))]

    async with running(lane):
        assert await eventually(saved, 60) == [(state, True), (LegState.READY, True)]
    assert server.booked == []


async def test_nothing_is_booked_on_an_account_that_has_left_its_group(engine: AsyncEngine) -> None:
    """It may count in another currency by now. Debits and credits end, a refund waits for its return."""
    debit_row = leg_row(5, LegKind.DEBIT, LegState.READY)
    await store(engine, WITHDRAWAL_ROW, debit_row, LEG_ROW, OTHER_LEG_ROW, "UPDATE accounts SET state = 3")
    server, clock = CountingServer(), SystemClock()
    shards = await held_shard(engine)
    lane = LegLane(engine, server, shards, ServerClock(server, clock), clock, uuid.uuid4)  # type: ignore[arg-type]

    async def ended() -> list[tuple[int, int, str]]:
        query = text("SELECT leg_id, state, reason FROM transfer_legs WHERE reason <> '' ORDER BY leg_id")
        async with transaction(engine) as tx:
            rows = [tuple(row) for row in await tx.execute(query)]
        return rows if len(rows) == 3 else []

    async with running(lane):
        reason = "ACCOUNT_NOT_OPEN"
        assert [row for row in await eventually(ended, 60) if row[0] < 7] == [(5, 6, reason), (6, 6, reason)]
        assert server.booked == []
        await store(engine, "UPDATE accounts SET state = 2")
        await eventually(lambda: server.booked == [7], 60)


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
    await store(engine, OPEN_ROW, CLOSE_ROW)
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
