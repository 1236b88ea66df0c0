"""Puts the service together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.common.v1 import events_pb2_grpc
from apportion.api.risk.v1 import limits_pb2_grpc, trips_pb2_grpc
from apportion.events import Consumer, Redis, Relay, ReplayServicer, replay_port
from apportion.risk.adapters.account_states import NewestStates
from apportion.risk.adapters.allocation import AllocationMasters
from apportion.risk.adapters.platform_groups import AskedStates, PlatformAccounts
from apportion.risk.adapters.weather import RedisWeather
from apportion.risk.consumers import HANDLERS
from apportion.risk.operations.advance_trip import TripWork
from apportion.risk.peers import PEERS
from apportion.risk.servicers.limits import LimitsServicer
from apportion.risk.servicers.trips import TripsServicer
from apportion.risk.settings import RiskSettings
from apportion.risk.wire import trip_changed_payload
from apportion.risk.workers.closer import Closer
from apportion.risk.workers.server_watch import WatchWork
from apportion.risk.workers.shards import shard_keeper
from apportion.risk.workers.watcher import Watcher
from apportion.rpc import Server, Tls, open_channel
from apportion.runtime import Background, Clock, Loops, ServiceApp, SystemClock
from apportion.runtime.service import SERVE, WORK
from apportion.storage import housekeeping, open_database, ping
from apportion.storage import migrate as migrate_database

SCHEMA = "apportion.risk.storage"
STATES_BYTES = 64 << 20
"""An answer holds the states of all accounts of a trading server, 76 bytes each."""


@asynccontextmanager
async def build(settings: RiskSettings, roles: set[str]) -> AsyncIterator[ServiceApp]:
    """Opens database, Redis and channels in order, closes them in reverse. Refuses a database it cannot trust."""
    clock, tls = SystemClock(), Tls.of(settings)
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_database(settings, SCHEMA))
        redis = Redis(settings.redis_url)
        stack.push_async_callback(redis.close)
        allocation = open_channel(settings.allocation_address, tls=tls, service="allocation", peer="risk")
        stack.push_async_callback(allocation.close)
        platform = open_channel(
            settings.platform_groups_address,
            tls=tls,
            service="platform-groups",
            peer="risk",
            max_message_bytes=STATES_BYTES,
        )
        stack.push_async_callback(platform.close)
        masters = AllocationMasters(allocation, settings.call_seconds)
        asked = AskedStates(platform, settings.ask_seconds)
        states = NewestStates(RedisWeather(redis), asked, clock, fallback_seconds=settings.fallback_seconds)
        loops = _loops(settings, engine, redis, masters, platform, asked, states, clock) if WORK in roles else {}
        server = _server(settings, tls, engine, masters, states, clock) if SERVE in roles else None
        background = await stack.enter_async_context(Background())
        yield ServiceApp(background, server=server, loops=loops, drain_seconds=settings.drain_seconds)


def _loops(
    settings: RiskSettings,
    engine: AsyncEngine,
    redis: Redis,
    masters: AllocationMasters,
    platform: grpc.aio.Channel,
    asked: AskedStates,
    states: NewestStates,
    clock: Clock,
) -> Loops:
    """What a worker runs, in the order of starting; leases go last at a stop, after the work they cover."""
    keeper = shard_keeper(engine, settings.worker_id, clock)
    server_days: dict[int, int] = {}
    accounts = PlatformAccounts(platform, settings.call_seconds)
    closer = Closer(TripWork(engine, masters, accounts, states, trip_changed_payload, clock), keeper, server_days)
    watch = WatchWork(
        engine=engine,
        redis=redis,
        asked=asked,
        clock=clock,
        doubts=settings.doubts,
        fallback_seconds=settings.fallback_seconds,
        stale_seconds=settings.stale_seconds,
        prices_stale_ms=settings.prices_stale_ms,
        settle_ms=settings.settle_ms,
        reload_seconds=settings.reload_seconds,
        server_days=server_days,
        wake_closer=closer.wake,
    )
    consumer = Consumer(
        engine,
        redis,
        name="risk",
        topics={"deals": replay_port(platform)},
        handlers=HANDLERS,
        owner=settings.worker_id,
        clock=clock,
    )
    return {
        **housekeeping(engine, settings, clock),
        "shards": keeper.run,
        "relay": Relay(engine, redis, owner=settings.worker_id, clock=clock).run,
        "closer": closer.run,
        "consumer": consumer.run,
        "watcher": Watcher(watch, keeper).run,
    }


def _server(
    settings: RiskSettings,
    tls: Tls | None,
    engine: AsyncEngine,
    masters: AllocationMasters,
    states: NewestStates,
    clock: Clock,
) -> Server:
    server = Server(
        settings.listen_address,
        tls=tls,
        peers=PEERS if tls else None,
        domain="risk.apportion",
        ready=partial(ping, engine),
    )
    limits = LimitsServicer(engine, masters, states, clock)
    limits_pb2_grpc.add_LimitsServiceServicer_to_server(limits, server.grpc)
    trips_pb2_grpc.add_TripsServiceServicer_to_server(TripsServicer(engine), server.grpc)
    events_pb2_grpc.add_ReplayServiceServicer_to_server(ReplayServicer(engine), server.grpc)
    return server


async def migrate(settings: RiskSettings) -> None:
    """Bring the database to this version."""
    await migrate_database(settings.database_url, SCHEMA)
