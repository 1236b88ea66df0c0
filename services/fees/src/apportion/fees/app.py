"""Puts the service together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.common.v1 import events_pb2_grpc
from apportion.api.fees.v1 import calculations_pb2_grpc, terms_pb2_grpc
from apportion.events import Consumer, Redis, ReplayServicer, replay_port
from apportion.fees.adapters.allocation import AllocationSubscriptions
from apportion.fees.adapters.platform_groups import PlatformTransfers
from apportion.fees.consumers import handlers
from apportion.fees.peers import PEERS
from apportion.fees.servicers.calculations import CalculationsServicer
from apportion.fees.servicers.terms import TermsServicer
from apportion.fees.settings import FeesSettings
from apportion.fees.storage.tables import metadata
from apportion.fees.workers.dispatcher import Dispatcher
from apportion.rpc import Server, Tls, open_channel
from apportion.runtime import Background, SystemClock
from apportion.runtime.service import SERVE, WORK
from apportion.storage import check_durability, check_schema, create_engine, ping
from apportion.storage import migrate as migrate_database

SCHEMA = "apportion.fees.storage"


class FeesApp:
    """A built service: `start` begins, `stop` drains."""

    def __init__(
        self, settings: FeesSettings, server: Server | None, consumer: Consumer | None, dispatcher: Dispatcher
    ):
        self._settings = settings
        self._server = server
        self._consumer = consumer
        self._dispatcher = dispatcher
        self._background = Background()
        self._address: str | None = None

    async def start(self) -> None:
        if self._consumer is not None:
            self._background.spawn("dispatcher", self._dispatcher.run)
            self._background.spawn("consumer", self._consumer.run)
        if self._server is not None:
            self._address = await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.drain(self._settings.drain_seconds)
        await self._background.stop()

    def address(self) -> str | None:
        return self._address


@asynccontextmanager
async def build(settings: FeesSettings, roles: set[str]) -> AsyncIterator[FeesApp]:
    """Opens database and channels in order, closes them in reverse. Refuses a database that cannot be trusted."""
    clock, tls = SystemClock(), Tls.of(settings)
    async with AsyncExitStack() as stack:
        engine = create_engine(settings.database_url)
        stack.push_async_callback(engine.dispose)
        await check_durability(engine, development=settings.development or settings.insecure)
        await check_schema(engine, metadata)
        allocation = open_channel(settings.allocation_address, tls=tls, service="allocation", peer="fees")
        stack.push_async_callback(allocation.close)
        platform = open_channel(settings.platform_groups_address, tls=tls, service="platform-groups", peer="fees")
        stack.push_async_callback(platform.close)
        transfers = PlatformTransfers(platform, settings.call_seconds)
        dispatcher = Dispatcher(
            engine, transfers, clock, backoff=settings.resend, pause_seconds=settings.dispatch_seconds
        )
        consumer = None
        if WORK in roles:
            redis = Redis(settings.redis_url)
            stack.push_async_callback(redis.close)
            consumer = Consumer(
                engine,
                redis,
                name="fees",
                topics={"children": replay_port(allocation), "transfers": replay_port(platform)},
                handlers=handlers(clock, settings.outstanding, dispatcher.wake),
                owner=settings.worker_id,
                clock=clock,
            )
        server = None
        if SERVE in roles:
            subscriptions = AllocationSubscriptions(allocation, settings.call_seconds)
            server = _server(settings, tls, engine)
            terms_pb2_grpc.add_TermsServiceServicer_to_server(TermsServicer(engine, subscriptions, clock), server.grpc)
            calculations_pb2_grpc.add_CalculationsServiceServicer_to_server(CalculationsServicer(engine), server.grpc)
            events_pb2_grpc.add_ReplayServiceServicer_to_server(ReplayServicer(engine), server.grpc)
        yield FeesApp(settings, server, consumer, dispatcher)


def _server(settings: FeesSettings, tls: Tls | None, engine: AsyncEngine) -> Server:
    return Server(
        settings.listen_address,
        tls=tls,
        peers=PEERS if tls else None,
        domain="fees.apportion",
        ready=partial(ping, engine),
    )


async def migrate(settings: FeesSettings) -> None:
    """Bring the database to this version."""
    await migrate_database(settings.database_url, SCHEMA)
