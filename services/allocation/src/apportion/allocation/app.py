"""Puts the service together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.adapters.account_states import LiveStates
from apportion.allocation.adapters.platform_groups import (
    PlatformAccounts,
    PlatformFacts,
    PlatformOrders,
    PlatformPositions,
)
from apportion.allocation.adapters.rates import WeatherRates
from apportion.allocation.adapters.retelling import Retold
from apportion.allocation.adapters.symbols import PlatformSymbols
from apportion.allocation.consumers import HISTORY_HANDLERS, handlers, preparations
from apportion.allocation.operations.desk import Desk
from apportion.allocation.peers import CRITICAL_METHODS, PEERS
from apportion.allocation.servicers.allocations import AllocationsServicer
from apportion.allocation.servicers.distributions import DistributionsServicer
from apportion.allocation.servicers.masters import MastersServicer
from apportion.allocation.servicers.statistics import StatisticsServicer
from apportion.allocation.servicers.subscriptions import SubscriptionsServicer
from apportion.allocation.settings import AllocationSettings
from apportion.allocation.storage.history_expiries import history_expiries
from apportion.allocation.storage.payouts import PAYOUTS
from apportion.allocation.workers.dispatcher import Dispatcher
from apportion.allocation.workers.floating import Floating
from apportion.allocation.workers.follow_up import FollowUp
from apportion.allocation.workers.projector import Projector
from apportion.allocation.workers.reconciler import Reconciler
from apportion.allocation.workers.reopener import Reopener
from apportion.allocation.workers.statistician import Statistician
from apportion.allocation.workers.undistributed_watch import UndistributedWatch
from apportion.api.allocation.v1 import (
    allocations_pb2_grpc,
    distributions_pb2_grpc,
    masters_pb2_grpc,
    statistics_pb2_grpc,
    subscriptions_pb2_grpc,
)
from apportion.api.common.v1 import events_pb2_grpc, payments_pb2_grpc
from apportion.events import Consumer, Redis, Relay, ReplayPort, ReplayServicer, replay_port
from apportion.payments import PaymentDispatcher, PaymentsServicer, PlatformTransfers, transfer_handlers
from apportion.rpc import Server, Tls, open_channel
from apportion.runtime import Background, Clock, Loops, ServiceApp, SystemClock
from apportion.runtime.service import SERVE, WORK
from apportion.storage import housekeeping, open_database, ping
from apportion.storage import migrate as migrate_database

SCHEMA = "apportion.allocation.storage"
HISTORY_SWEEP_SECONDS = 120.0
"""Nobody waits for what the history missed, and platform-groups is asked less."""


@asynccontextmanager
async def build(settings: AllocationSettings, roles: set[str]) -> AsyncIterator[ServiceApp]:
    """Opens database, Redis and channels in order, closes them in reverse. Refuses a database it cannot trust."""
    clock, tls = SystemClock(), Tls.of(settings)
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_database(settings, SCHEMA))
        redis = Redis(settings.redis_url)
        stack.push_async_callback(redis.close)
        platform = open_channel(settings.platform_groups_address, tls=tls, service="platform-groups", peer="allocation")
        stack.push_async_callback(platform.close)
        background = await stack.enter_async_context(Background())
        symbols = PlatformSymbols(platform, settings.call_seconds, refresh_seconds=settings.symbol_seconds)
        background.spawn("symbols", symbols.run)
        states = LiveStates(redis, background, platform, settings.ask_seconds)
        desk = Desk(symbols, states, WeatherRates(redis, background, symbols), settings.limits)
        loops = _loops(settings, engine, redis, platform, desk, clock) if WORK in roles else {}
        server = _server(settings, tls, engine, platform, desk, clock) if SERVE in roles else None
        yield ServiceApp(background, server=server, loops=loops, drain_seconds=settings.drain_seconds)


def _loops(
    settings: AllocationSettings,
    engine: AsyncEngine,
    redis: Redis,
    platform: grpc.aio.Channel,
    desk: Desk,
    clock: Clock,
) -> Loops:
    """What a worker runs, in the order of starting."""
    orders = PlatformOrders(platform, settings.call_seconds)
    dispatcher = Dispatcher(
        engine, orders, clock, retries=settings.limits.retries, pause_seconds=settings.dispatch_seconds
    )
    replays = replay_port(platform)
    handling = {
        **handlers(desk, clock, dispatcher.dispatch),
        **transfer_handlers(PAYOUTS, clock, settings.payment_waits.retry),
    }
    preparing = preparations(desk, clock)
    reconciler = Reconciler(
        engine,
        PlatformPositions(platform, settings.call_seconds),
        Retold(engine, PlatformFacts(platform, settings.call_seconds), handling, preparing, clock),
        dispatcher,
        settings.worker_id,
        clock,
        rules=settings.reconciling,
        pause_seconds=settings.reconcile_seconds,
        retry_seconds=settings.reconcile_retry_seconds,
    )
    projector = Projector(engine, clock, dispatcher.committed, pause_seconds=settings.project_seconds)
    consumer = Consumer(
        engine,
        redis,
        name="allocation",
        topics={"deals": replays, "orders": replays, "transfers": replays},
        handlers=handling,
        preparations=preparing,
        owner=settings.worker_id,
        clock=clock,
    )
    return {
        **housekeeping(engine, settings, clock, history_expiries(settings.history_retention_days)),
        "dispatcher": dispatcher.run,
        "projector": projector.run,
        **_profit_loops(settings, engine, platform, clock),
        "reconciler": reconciler.run,
        "reopener": Reopener(engine, dispatcher, clock, settings.limits.retries).run,
        "follow_up": FollowUp(engine, dispatcher, clock, pause_seconds=settings.follow_up_seconds).run,
        "relay": Relay(engine, redis, owner=settings.worker_id, clock=clock).run,
        "consumer": consumer.run,
        **_statistics_loops(settings, engine, redis, replays, desk, clock),
    }


def _statistics_loops(
    settings: AllocationSettings, engine: AsyncEngine, redis: Redis, replays: ReplayPort, desk: Desk, clock: Clock
) -> Loops:
    """What keeps the history and what is computed from it."""
    history = Consumer(
        engine,
        redis,
        name="allocation-history",
        topics={"deals": replays, "transfers": replays},
        handlers=HISTORY_HANDLERS,
        owner=settings.worker_id,
        clock=clock,
        concurrent_transactions=1,
        sweep_seconds=HISTORY_SWEEP_SECONDS,
    )
    statistician = Statistician(
        engine,
        desk.states,
        settings.worker_id,
        clock,
        sample_seconds=settings.equity_sample_seconds,
        leaderboard_seconds=settings.leaderboard_seconds,
    )
    return {"history": history.run, "statistician": statistician.run}


def _profit_loops(settings: AllocationSettings, engine: AsyncEngine, platform: grpc.aio.Channel, clock: Clock) -> Loops:
    """Of masters who distribute profit instead of trades."""
    transfers = PlatformTransfers(platform, PAYOUTS.source, settings.call_seconds)
    payer = PaymentDispatcher(engine, PAYOUTS, transfers, clock, settings.payment_waits)
    positions = PlatformPositions(platform, settings.call_seconds)
    floating = Floating(engine, positions, settings.worker_id, clock, pause_seconds=settings.floating_seconds)
    watch = UndistributedWatch(engine, clock)
    return {"payer": payer.run, "floating": floating.run, "undistributed": watch.run}


def _server(
    settings: AllocationSettings,
    tls: Tls | None,
    engine: AsyncEngine,
    platform: grpc.aio.Channel,
    desk: Desk,
    clock: Clock,
) -> Server:
    server = Server(
        settings.listen_address,
        tls=tls,
        peers=PEERS if tls else None,
        domain="allocation.apportion",
        critical_methods=CRITICAL_METHODS,
        ready=partial(ping, engine),
    )
    accounts = PlatformAccounts(platform, settings.call_seconds)
    positions = PlatformPositions(platform, settings.call_seconds)
    orders = PlatformOrders(platform, settings.call_seconds)
    masters_pb2_grpc.add_MastersServiceServicer_to_server(
        MastersServicer(engine, accounts, positions, orders, desk, clock), server.grpc
    )
    subscriptions_pb2_grpc.add_SubscriptionsServiceServicer_to_server(
        SubscriptionsServicer(engine, desk, accounts, positions, clock), server.grpc
    )
    allocations_pb2_grpc.add_AllocationsServiceServicer_to_server(AllocationsServicer(engine, desk, clock), server.grpc)
    statistics_pb2_grpc.add_StatisticsServiceServicer_to_server(StatisticsServicer(engine), server.grpc)
    distributions_pb2_grpc.add_DistributionsServiceServicer_to_server(DistributionsServicer(engine), server.grpc)
    payments = PaymentsServicer(engine, PAYOUTS, clock)
    payments_pb2_grpc.add_PaymentsServiceServicer_to_server(payments, server.grpc)
    events_pb2_grpc.add_ReplayServiceServicer_to_server(ReplayServicer(engine), server.grpc)
    return server


async def migrate(settings: AllocationSettings) -> None:
    """Bring the database to this version."""
    await migrate_database(settings.database_url, SCHEMA)
