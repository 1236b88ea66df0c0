"""The loops together, with real PostgreSQL and Valkey: account states in, trips carried through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import pytest
from prometheus_client import REGISTRY
from risk_world import (
    ACCOUNT,
    DAY,
    DAY_MS,
    DOUBTS,
    LABEL,
    NOON_MS,
    SERVER,
    StubMasters,
    limit_of,
    rows_of,
    set_limit,
    trip_of,
)
from sqlalchemy import text
from structlog.testing import capture_logs

from apportion.api.platform_groups.v1.events_pb2 import AccountStates, Ticks
from apportion.devstack.valkey import EmbeddedValkey
from apportion.errors import UpstreamUnavailable
from apportion.events import Redis, publish_weather
from apportion.events.weather import accounts_key, ticks_key
from apportion.risk.domain.limits import Alarm, LimitState
from apportion.risk.domain.snapshots import Snapshot, SnapshotSource
from apportion.risk.domain.trips import TripState
from apportion.risk.operations.advance_trip import TripWork
from apportion.risk.operations.ports import ClosingReport
from apportion.risk.wire import parse_account_states, trip_changed_payload
from apportion.risk.workers.closer import Closer
from apportion.risk.workers.server_watch import WatchWork
from apportion.risk.workers.shards import shard_keeper
from apportion.risk.workers.watcher import Watcher
from apportion.rpc import to_timestamp
from apportion.runtime import SystemClock
from apportion.storage import transaction
from apportion.testing.polling import eventually


class Server:
    """A trading server with one account, seen through its weather or asked for, and platform-groups' commands to it."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.is_away = False
        self.ask_count = 0
        self.asked_at = 0.0
        self.clock = SystemClock()
        self.version = 0
        self.time_ms = NOON_MS
        self.equity_minor = 10_000
        self.calls: list[str] = []

    def states(self, observed: datetime | None = None) -> AccountStates:
        self.time_ms += 100
        return AccountStates(
            trading_server_id=SERVER,
            observed_time=to_timestamp(observed or self.clock.now()),
            server_time_ms=self.time_ms,
            account_ids=[ACCOUNT],
            balances_minor=[10_000],
            credits_minor=[0],
            equities_minor=[self.equity_minor],
        )

    async def publish(self, equity_minor: int, observed: datetime | None = None) -> None:
        self.equity_minor = equity_minor
        self.version += 1
        states = self.states(observed).SerializeToString()
        await publish_weather(self.redis, accounts_key(SERVER), states, self.version)

    async def newest(self, label, trading_server_id) -> Snapshot:
        """As asked of platform-groups."""
        assert (label, trading_server_id) == (LABEL, SERVER)
        self.ask_count += 1
        self.asked_at = self.clock.monotonic()
        if self.is_away:
            raise UpstreamUnavailable("platform-groups is away", service="platform-groups")
        return parse_account_states(self.states(), SnapshotSource.ASKED)

    async def publish_price(self, age_ms: int = 0) -> None:
        self.version += 1
        ticks = Ticks(
            observed_time=to_timestamp(self.clock.now()),
            symbols=["EURUSD"],
            bids_e8=[1],
            asks_e8=[2],
            server_time_ms=self.time_ms - age_ms,
            server_times_ms=[self.time_ms - age_ms],
        )
        await publish_weather(self.redis, ticks_key(SERVER), ticks.SerializeToString(), self.version)

    async def close_all(self, label, account_id, cause, request_id) -> int:
        self.calls.append("close")
        return 500

    async def closing(self, label, closing_id) -> ClosingReport:
        return ClosingReport(self.clock.now() - timedelta(seconds=1), (), "")

    async def has_positions(self, label, account_id) -> bool:
        return False

    async def set_read_only(self, label, account_id, read_only, cause, request_id) -> None:
        self.calls.append("read-only" if read_only else "full")


@pytest.fixture
async def redis(redis_url) -> AsyncIterator[Redis]:
    redis = Redis(redis_url)
    yield redis
    await redis.close()


@asynccontextmanager
async def worker(
    engine, redis, server, masters, name: str = "one", *, fallback_seconds: float = 60, stale_seconds: float = 5
) -> AsyncIterator[WatchWork]:
    clock = SystemClock()
    keeper = shard_keeper(engine, name, clock)
    days: dict[int, int] = {}
    closer = Closer(TripWork(engine, masters, server, server, trip_changed_payload, clock), keeper, days)
    work = WatchWork(
        engine=engine,
        redis=redis,
        asked=server,
        clock=clock,
        doubts=DOUBTS,
        fallback_seconds=fallback_seconds,
        stale_seconds=stale_seconds,
        prices_stale_ms=60_000,
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


async def sleeps(engine) -> bool:
    """The closer has seen that the day of the trip goes on."""
    return (await trip_of(engine)).next_attempt_time > SystemClock().now() + timedelta(seconds=5)


async def break_limit(engine, server: Server) -> None:
    """From the first snapshot to the closed account, by weather."""
    await server.publish(10_000)
    await eventually(lambda: state_is(engine, LimitState.ARMED))
    await server.publish(8_900)
    await server.publish(8_900)
    await eventually(lambda: state_is(engine, LimitState.CLOSED))


async def test_a_breach_in_the_weather_is_carried_through_to_the_next_day(engine, redis):
    server, masters = Server(redis), StubMasters()
    await set_limit(engine)
    async with worker(engine, redis, server, masters):
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


async def test_a_breach_by_prices_that_stand_still_trips_in_time_and_not_at_once(engine, redis):
    server = Server(redis)
    await set_limit(engine)

    async def is_known_to_stand_still() -> bool:
        await server.publish(9_500)
        lag_seconds = REGISTRY.get_sample_value("apportion_risk_prices_lag_seconds", {"trading_server": str(SERVER)})
        return (lag_seconds or 0) > 60

    async with worker(engine, redis, server, StubMasters(), stale_seconds=600):
        await server.publish(10_000)
        await eventually(lambda: state_is(engine, LimitState.ARMED))
        await server.publish_price(age_ms=100 * DAY_MS)  # its clock runs fast here
        await eventually(is_known_to_stand_still)
        await server.publish(8_990)
        await eventually(lambda: state_is(engine, LimitState.CLOSED))
    evidence = (await trip_of(engine)).evidence
    assert evidence.alarm is Alarm.PRICE_SUSPECT
    assert evidence.decide_time - evidence.observed_time >= timedelta(milliseconds=DOUBTS.confirm_ms)


async def test_a_day_whose_beginning_failed_begins_again(engine, redis):
    """The rows were locked when the closed trips were to be woken; else they would sleep on."""
    server, masters = Server(redis), StubMasters()
    await set_limit(engine)
    async with worker(engine, redis, server, masters):
        await break_limit(engine, server)
        await eventually(lambda: sleeps(engine))
        with capture_logs() as logged:
            async with transaction(engine) as blocker:
                await blocker.execute(text("SELECT FROM trips FOR UPDATE"))
                server.time_ms = (DAY + 1) * DAY_MS
                await server.publish(8_900)
                await eventually(lambda: "background_task_failed" in [entry["event"] for entry in logged])

        async def is_armed() -> bool:
            await server.publish(8_900)
            return await state_is(engine, LimitState.ARMED)

        await eventually(is_armed)


async def test_a_breach_is_decided_within_milliseconds(engine, redis):
    """The promise is 50 ms at the 99th percentile on a quiet machine; here only that nothing waits for a poll."""
    server, masters = Server(redis), StubMasters()
    await set_limit(engine)
    async with worker(engine, redis, server, masters):
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
    async with worker(engine, redis, server, masters):
        await server.publish(10_000)
        await eventually(lambda: state_is(engine, LimitState.ARMED))
        await server.publish(8_900)
        await server.publish(8_900)
        await asyncio.wait_for(gate.wait(), 10)
    assert (await trip_of(engine)).last_error in ("", "the server does not answer")
    del server.closing
    async with worker(engine, redis, server, masters, "two"):
        await eventually(lambda: state_is(engine, LimitState.CLOSED))
    assert await rows_of(engine, "SELECT count(*) FROM trips") == [(1,)]


async def test_a_limit_trips_without_redis(engine):
    """A Redis that never was: armed, tripped, closed and rearmed by what the trading server answers."""
    redis = Redis("redis://127.0.0.1:9")
    server, masters = Server(redis), StubMasters()
    await set_limit(engine)
    async with worker(engine, redis, server, masters, fallback_seconds=0.05):
        await eventually(lambda: state_is(engine, LimitState.ARMED))
        await eventually(lambda: server.ask_count > 3)
        server.equity_minor = 8_900
        await eventually(lambda: state_is(engine, LimitState.CLOSED))
        trip = await trip_of(engine)
        assert (trip.evidence.equity_minor, trip.evidence.snapshot_source) == (8_900, SnapshotSource.ASKED)
        assert (server.calls, masters.steps) == (["close", "read-only"], ["halt"])
        assert await rows_of(engine, "SELECT * FROM trip_prices") == []
        server.time_ms = (DAY + 1) * DAY_MS
        await eventually(lambda: state_is(engine, LimitState.ARMED))
    await redis.close()
    assert await rows_of(engine, "SELECT count(*) FROM trips") == [(1,)]


async def test_redis_stops_and_comes_back_empty(engine, tmp_path):
    """The watch goes on by asking, hears the weather again without asking, and never takes an older state."""
    valkey = EmbeddedValkey(tmp_path / "valkey")
    redis = Redis(await valkey.start())
    server, masters = Server(redis), StubMasters()
    await set_limit(engine)
    async with worker(engine, redis, server, masters, fallback_seconds=0.3) as work:
        await server.publish_price()
        await server.publish(10_000)
        await eventually(lambda: state_is(engine, LimitState.ARMED))
        await valkey.stop()
        asked = server.ask_count
        await eventually(lambda: server.ask_count > asked + 1)

        await valkey.start()
        server.version = 0
        await server.publish(8_000, observed=server.clock.now() - timedelta(seconds=60))
        server.equity_minor = 10_000
        asked = server.ask_count
        await eventually(lambda: server.ask_count > asked)
        assert await state_is(engine, LimitState.ARMED)

        async def is_heard_again() -> bool:
            await server.publish(10_000)
            return server.clock.monotonic() - server.asked_at > 1

        async def is_tripped() -> bool:
            await server.publish(8_900)
            return bool(await rows_of(engine, "SELECT 1 FROM trips"))

        await eventually(is_heard_again)
        server.is_away = True
        await eventually(is_tripped)
        assert (await trip_of(engine)).evidence.snapshot_source is SnapshotSource.WEATHER
        server.is_away = False
        await eventually(lambda: state_is(engine, LimitState.CLOSED))
        assert work.server_days == {SERVER: DAY}
    await redis.close()
    await valkey.stop()
    assert await rows_of(engine, "SELECT count(*) FROM trips") == [(1,)]


async def test_a_pump_whose_clock_is_ahead_does_not_silence_its_successor(engine, redis):
    """Nor does the age of its states, which would be below zero, hide a silence."""
    server = Server(redis)
    await set_limit(engine)
    async with worker(engine, redis, server, StubMasters()):
        await server.publish(10_000, observed=server.clock.now() + timedelta(minutes=10))
        await eventually(lambda: state_is(engine, LimitState.ARMED))
        age_seconds = REGISTRY.get_sample_value("apportion_risk_states_age_seconds", {"trading_server": str(SERVER)})
        assert age_seconds is not None
        assert 0 <= age_seconds < 5
        await server.publish(8_900)
        await server.publish(8_900)
        await eventually(lambda: state_is(engine, LimitState.CLOSED))
    assert await rows_of(engine, "SELECT count(*) FROM trips") == [(1,)]


async def test_with_both_sources_away_the_states_grow_old_in_sight(engine, redis):
    server = Server(redis)
    server.is_away = True
    await set_limit(engine)

    def age_seconds() -> float:
        return REGISTRY.get_sample_value("apportion_risk_states_age_seconds", {"trading_server": str(SERVER)}) or 0.0

    seconds = {"fallback_seconds": 0.05, "stale_seconds": 0.5}
    with capture_logs() as logged:
        async with worker(engine, redis, server, StubMasters(), **seconds):
            await server.publish(10_000)
            await eventually(lambda: state_is(engine, LimitState.ARMED))
            await eventually(lambda: server.ask_count > 2 and age_seconds() > 0.5)
            server.is_away, server.equity_minor = False, 9_900
            await eventually(lambda: age_seconds() < 0.5)
    told = [entry["event"] for entry in logged]
    assert told.index("account_states_stale") < told.index("account_states_fresh")
    assert await rows_of(engine, "SELECT count(*) FROM trips") == [(0,)]


async def test_old_prices_are_no_evidence(engine, redis):
    server = Server(redis)
    server.time_ms = NOON_MS
    await set_limit(engine)
    old = Ticks(
        observed_time=to_timestamp(server.clock.now() - timedelta(seconds=6)),
        symbols=["EURUSD"],
        bids_e8=[1],
        asks_e8=[2],
        server_times_ms=[3],
    )
    await publish_weather(redis, ticks_key(SERVER), old.SerializeToString(), 1)
    async with worker(engine, redis, server, StubMasters()):
        await break_limit(engine, server)
    assert await rows_of(engine, "SELECT * FROM trip_prices") == []


async def test_states_that_cannot_be_read_are_passed_over(engine, redis):
    server = Server(redis)
    await set_limit(engine)
    await publish_weather(redis, accounts_key(SERVER), b"\xff", 1)
    await publish_weather(redis, ticks_key(SERVER), b"\xff", 1)
    server.version = 1
    async with worker(engine, redis, server, StubMasters()):
        await break_limit(engine, server)
    assert await rows_of(engine, "SELECT count(*) FROM trips") == [(1,)]
