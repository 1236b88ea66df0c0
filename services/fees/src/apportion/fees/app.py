"""Puts the service together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.common.v1 import payments_pb2_grpc
from apportion.api.fees.v1 import calculations_pb2_grpc, terms_pb2_grpc
from apportion.events import Consumer, Redis, replay_port
from apportion.fees.adapters.allocation import AllocationSubscriptions
from apportion.fees.adapters.platform_groups import PlatformWallets
from apportion.fees.consumers import handlers
from apportion.fees.peers import PEERS
from apportion.fees.servicers.calculations import CalculationsServicer
from apportion.fees.servicers.terms import TermsServicer
from apportion.fees.settings import FeesSettings
from apportion.fees.storage.charges import CHARGES
from apportion.payments import PaymentDispatcher, PaymentsServicer, PlatformTransfers
from apportion.rpc import Server, Tls, open_channel
from apportion.runtime import Background, Clock, Loops, ServiceApp, SystemClock
from apportion.runtime.service import SERVE, WORK
from apportion.storage import housekeeping, open_database, ping
from apportion.storage import migrate as migrate_database

SCHEMA = "apportion.fees.storage"


@asynccontextmanager
async def build(settings: FeesSettings, roles: set[str]) -> AsyncIterator[ServiceApp]:
    """Opens database, Redis and channels in order, closes them in reverse. Refuses a database it cannot trust."""
    clock, tls = SystemClock(), Tls.of(settings)
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_database(settings, SCHEMA))
        redis = Redis(settings.redis_url)
        stack.push_async_callback(redis.close)
        allocation = open_channel(settings.allocation_address, tls=tls, service="allocation", peer="fees")
        stack.push_async_callback(allocation.close)
        platform = open_channel(settings.platform_groups_address, tls=tls, service="platform-groups", peer="fees")
        stack.push_async_callback(platform.close)
        loops = _loops(settings, engine, redis, allocation, platform, clock) if WORK in roles else {}
        server = _server(settings, tls, engine, allocation, platform, clock) if SERVE in roles else None
        background = await stack.enter_async_context(Background())
        yield ServiceApp(background, server=server, loops=loops, drain_seconds=settings.drain_seconds)


def _loops(
    settings: FeesSettings,
    engine: AsyncEngine,
    redis: Redis,
    allocation: grpc.aio.Channel,
    platform: grpc.aio.Channel,
    clock: Clock,
) -> Loops:
    """What a worker runs, in the order of starting."""
    transfers = PlatformTransfers(platform, CHARGES.source, settings.call_seconds)
    dispatcher = PaymentDispatcher(engine, CHARGES, transfers, clock, settings.payment_waits)
    consumer = Consumer(
        engine,
        redis,
        name="fees",
        topics={"children": replay_port(allocation), "transfers": replay_port(platform)},
        handlers=handlers(clock, settings.payment_waits.retry, dispatcher.wake),
        owner=settings.worker_id,
        clock=clock,
    )
    return {
        **housekeeping(engine, settings, clock),
        "dispatcher": dispatcher.run,
        "consumer": consumer.run,
    }


def _server(
    settings: FeesSettings,
    tls: Tls | None,
    engine: AsyncEngine,
    allocation: grpc.aio.Channel,
    platform: grpc.aio.Channel,
    clock: Clock,
) -> Server:
    server = Server(
        settings.listen_address,
        tls=tls,
        peers=PEERS if tls else None,
        domain="fees.apportion",
        ready=partial(ping, engine),
    )
    subscriptions = AllocationSubscriptions(allocation, settings.call_seconds)
    wallets = PlatformWallets(platform, settings.call_seconds)
    terms = TermsServicer(engine, subscriptions, wallets, clock)
    terms_pb2_grpc.add_TermsServiceServicer_to_server(terms, server.grpc)
    calculations_pb2_grpc.add_CalculationsServiceServicer_to_server(CalculationsServicer(engine), server.grpc)
    payments = PaymentsServicer(engine, CHARGES, clock)
    payments_pb2_grpc.add_PaymentsServiceServicer_to_server(payments, server.grpc)
    return server


async def migrate(settings: FeesSettings) -> None:
    """Bring the database to this version."""
    await migrate_database(settings.database_url, SCHEMA)
