"""Puts the service together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import grpc
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.adapters.account_states import WeatherStates
from apportion.allocation.adapters.platform_groups import PlatformAccounts, PlatformOrders, PlatformSymbols
from apportion.allocation.consumers import handlers
from apportion.allocation.operations.desk import Desk
from apportion.allocation.peers import CRITICAL_METHODS, PEERS
from apportion.allocation.servicers.allocations import AllocationsServicer
from apportion.allocation.servicers.masters import MastersServicer
from apportion.allocation.servicers.subscriptions import SubscriptionsServicer
from apportion.allocation.settings import AllocationSettings
from apportion.allocation.storage.tables import metadata
from apportion.allocation.workers import Dispatcher, FollowUp, Projector
from apportion.api.allocation.v1 import allocations_pb2_grpc, masters_pb2_grpc, subscriptions_pb2_grpc
from apportion.api.common.v1 import events_pb2_grpc
from apportion.events import Consumer, Redis, Relay, ReplayServicer, replay_port
from apportion.rpc import Server, Tls, open_channel
from apportion.runtime import Background, Clock, SystemClock
from apportion.runtime.service import SERVE, WORK
from apportion.storage import check_durability, check_schema, create_engine, transaction
from apportion.storage import migrate as migrate_database

SCHEMA = "apportion.allocation.storage"


class AllocationApp:
    """A built service: `start` begins, `stop` drains."""

    def __init__(self, settings: AllocationSettings, background: Background) -> None:
        self._settings = settings
        self._background = background
        self._address: str | None = None
        self.server: Server | None = None
        self.loops: dict[str, Dispatcher | Projector | FollowUp | Relay | Consumer] = {}

    async def start(self) -> None:
        for name, loop in self.loops.items():
            self._background.spawn(name, loop.run)
        if self.server is not None:
            self._address = await self.server.start()

    async def stop(self) -> None:
        if self.server is not None:
            await self.server.drain(self._settings.drain_seconds)
        await self._background.stop()

    def address(self) -> str | None:
        return self._address


@asynccontextmanager
async def build(settings: AllocationSettings, roles: set[str]) -> AsyncIterator[AllocationApp]:
    """Opens database, Redis and channels in order, closes them in reverse. Refuses a database it cannot trust."""
    clock, tls = SystemClock(), Tls.of(settings)
    async with AsyncExitStack() as stack:
        engine = create_engine(settings.database_url)
        stack.push_async_callback(engine.dispose)
        await check_durability(engine, development=settings.development or settings.insecure)
        await check_schema(engine, metadata)
        redis = Redis(settings.redis_url)
        stack.push_async_callback(redis.close)
        platform = open_channel(settings.platform_groups_address, tls=tls, service="platform-groups", peer="allocation")
        stack.push_async_callback(platform.close)
        background = await stack.enter_async_context(Background())
        symbols = PlatformSymbols(platform, settings.call_seconds, clock, keep_seconds=settings.symbol_seconds)
        desk = Desk(symbols, WeatherStates(redis, background), settings.limits)
        app = AllocationApp(settings, background)
        if SERVE in roles:
            app.server = _server(settings, tls, engine, platform, desk, clock)
        if WORK in roles:
            _add_loops(app, settings, engine, redis, platform, desk, clock)
        yield app


def _add_loops(
    app: AllocationApp,
    settings: AllocationSettings,
    engine: AsyncEngine,
    redis: Redis,
    platform: grpc.aio.Channel,
    desk: Desk,
    clock: Clock,
) -> None:
    orders = PlatformOrders(platform, settings.call_seconds)
    dispatcher = Dispatcher(
        engine, orders, clock, catch_up=settings.limits.catch_up, pause_seconds=settings.dispatch_seconds
    )
    replays = replay_port(platform)
    app.loops = {
        "dispatcher": dispatcher,
        "projector": Projector(engine, clock, dispatcher.committed, pause_seconds=settings.project_seconds),
        "follow_up": FollowUp(engine, dispatcher, clock, pause_seconds=settings.follow_up_seconds),
        "relay": Relay(engine, redis, owner=settings.worker_id, clock=clock),
        "consumer": Consumer(
            engine,
            redis,
            name="allocation",
            topics={"deals": replays, "orders": replays},
            handlers=handlers(desk, clock, dispatcher.dispatch),
            owner=settings.worker_id,
            clock=clock,
        ),
    }


def _server(
    settings: AllocationSettings,
    tls: Tls | None,
    engine: AsyncEngine,
    platform: grpc.aio.Channel,
    desk: Desk,
    clock: Clock,
) -> Server:
    async def ready() -> bool:
        async with transaction(engine) as tx:
            await tx.execute(text("SELECT 1"))
        return True

    server = Server(
        settings.listen_address,
        tls=tls,
        peers=PEERS if tls else None,
        domain="allocation.apportion",
        critical_methods=CRITICAL_METHODS,
        ready=ready,
    )
    accounts = PlatformAccounts(platform, settings.call_seconds)
    masters_pb2_grpc.add_MastersServiceServicer_to_server(MastersServicer(engine, accounts, clock), server.grpc)
    subscriptions_pb2_grpc.add_SubscriptionsServiceServicer_to_server(
        SubscriptionsServicer(engine, accounts, clock), server.grpc
    )
    allocations_pb2_grpc.add_AllocationsServiceServicer_to_server(AllocationsServicer(engine, desk, clock), server.grpc)
    events_pb2_grpc.add_ReplayServiceServicer_to_server(ReplayServicer(engine), server.grpc)
    return server


async def migrate(settings: AllocationSettings) -> None:
    """Bring the database to this version."""
    await migrate_database(settings.database_url, SCHEMA)
