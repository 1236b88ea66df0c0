"""The loops together, with real PostgreSQL and Valkey: weather in, trips carried through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest
from risk_world import ACCOUNT, DAY, DAY_MS, DOUBTS, NOON_MS, SERVER, StubMasters, limit_of, rows_of, set_limit, trip_of

from apportion.api.platform_groups.v1.events_pb2 import AccountStates, Ticks
from apportion.events import Redis, publish_weather
from apportion.events.weather import accounts_key, ticks_key
from apportion.risk.domain.limits import LimitState
from apportion.risk.domain.trips import TripState
from apportion.risk.operations.advance_trip import TripWork
from apportion.risk.operations.ports import ClosingReport
from apportion.risk.wire import trip_changed_payload
from apportion.risk.workers.closer import Closer
from apportion.risk.workers.server_watch import WatchWork
from apportion.risk.workers.shards import shard_keeper
from apportion.risk.workers.watcher import Watcher
from apportion.rpc import to_timestamp
from apportion.runtime import SystemClock
from apportion.testing.polling import eventually


class Server:
    """A trading server with one account, seen through its weather, and platform-groups' commands to it."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.clock = SystemClock()
        self.version = 0
        self.time_ms = NOON_MS
        self.equity_minor = 10_000
        self.calls: list[str] = []

    async def publish(self, equity_minor: int) -> None:
        self.equity_minor = equity_minor
        self.version += 1
        self.time_ms += 100
        observed = to_timestamp(self.clock.now())
        states = AccountStates(
            trading_server_id=SERVER,
            observed_time=observed,
            server_time_ms=self.time_ms,
            account_ids=[ACCOUNT],
            balances_minor=[10_000],
            credits_minor=[0],
            equities_minor=[equity_minor],
        )
        await publish_weather(self.redis, accounts_key(SERVER), states.SerializeToString(), self.version)

    async def publish_price(self) -> None:
        ticks = Ticks(symbols=["EURUSD"], bids_e8=[1], asks_e8=[2], server_times_ms=[3])
        await publish_weather(self.redis, ticks_key(SERVER), ticks.SerializeToString(), 1)

    async def close_all(self, label, account_id, cause, request_id) -> int:
        self.calls.append("close")
        return 500

    async def closing(self, label, closing_id) -> ClosingReport:
        return ClosingReport(self.clock.now() - timedelta(seconds=1), (), "")

    async def has_positions(self, label, account_id) -> bool:
        return False

    async def set_read_only(self, label, account_id, read_only, cause, request_id) -> None:
        self.calls.append("read-only" if read_only else "full")

    async def equity_since(self, label, account_id, since) -> int:
        return self.equity_minor


@pytest.fixture
async def redis(redis_url) -> AsyncIterator[Redis]:
    redis = Redis(redis_url)
    yield redis
    await redis.close()


@asynccontextmanager
async def worker(engine, redis, server, masters, name: str) -> AsyncIterator[WatchWork]:
    clock = SystemClock()
    keeper = shard_keeper(engine, name, clock)
    days: dict[int, int] = {}
    closer = Closer(TripWork(engine, masters, server, trip_changed_payload, clock), keeper, days)
    work = WatchWork(
        engine=engine,
        redis=redis,
        clock=clock,
        doubts=DOUBTS,
        stale_seconds=5,
        settle_ms=2_000,
        reload_seconds=0.05,
        server_days=days,
        wake_closer=closer.wake,
    )
    loops = [asyncio.create_task(run()) for run in (keeper.run, closer.run, Watcher(work, keeper).run)]
    try:
        yield work
    finally:
        for loop in reversed(loops):
            loop.cancel()
            await asyncio.wait([loop])


async def state_is(engine, state: LimitState) -> bool:
    return (await limit_of(engine)).state is state


async def test_a_breach_in_the_weather_is_carried_through_to_the_next_day(engine, redis):
    server, masters = Server(redis), StubMasters()
    await set_limit(engine)
    async with worker(engine, redis, server, masters, "one"):
        await server.publish_price()
        await server.publish(10_000)
        await eventually(lambda: state_is(engine, LimitState.ARMED))
        await server.publish(9_500)
        await server.publish(8_900)
        await server.publish(8_890)
        await eventually(lambda: state_is(engine, LimitState.CLOSED))
        trip = await trip_of(engine)
        assert (server.calls, masters.steps) == (["close", "read-only"], ["halt"])
        assert trip.evidence.equity_minor in (8_900, 8_890)
        assert await rows_of(engine, "SELECT symbol FROM trip_prices") == [("EURUSD",)]
        server.time_ms = (DAY + 1) * DAY_MS
        await server.publish(8_890)
        await eventually(lambda: state_is(engine, LimitState.ARMED))
        assert (server.calls, masters.steps) == (["close", "read-only", "full"], ["halt", "resume"])
    limit = await limit_of(engine)
    assert (limit.server_day, limit.day_start_equity_minor) == (DAY + 1, 8_890)
    assert (await trip_of(engine)).state is TripState.REARMED


async def test_a_breach_is_decided_within_milliseconds(engine, redis):
    """The promise is 50 ms at the 99th percentile on a quiet machine; here only that nothing waits for a poll."""
    server, masters = Server(redis), StubMasters()
    await set_limit(engine)
    async with worker(engine, redis, server, masters, "one"):
        await server.publish(10_000)
        await eventually(lambda: state_is(engine, LimitState.ARMED))
        await server.publish(9_900)
        await server.publish(9_900)
        await server.publish(8_900)
        await eventually(lambda: state_is(engine, LimitState.CLOSED))
    evidence = (await trip_of(engine)).evidence
    assert (evidence.decide_time - evidence.observed_time).total_seconds() < 0.5


async def test_another_worker_takes_over_a_trip(engine, redis):
    server, masters = Server(redis), StubMasters()
    await set_limit(engine)
    gate = asyncio.Event()

    async def stuck(label, closing_id) -> ClosingReport:
        gate.set()
        return ClosingReport(None, (), "the server does not answer")

    server.closing = stuck
    async with worker(engine, redis, server, masters, "one"):
        await server.publish(10_000)
        await eventually(lambda: state_is(engine, LimitState.ARMED))
        await server.publish(8_900)
        await server.publish(8_900)
        await asyncio.wait_for(gate.wait(), 10)
    assert (await trip_of(engine)).last_error in ("", "the server does not answer")
    del server.closing
    async with worker(engine, redis, server, masters, "two"):
        await eventually(lambda: state_is(engine, LimitState.CLOSED), timeout_seconds=10)
    assert await rows_of(engine, "SELECT count(*) FROM trips") == [(1,)]
