"""Puts the service together."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.common.v1 import events_pb2_grpc
from apportion.api.platform_groups.v1 import (
    accounts_pb2_grpc,
    deals_pb2_grpc,
    platform_groups_pb2_grpc,
    trading_pb2_grpc,
    trading_servers_pb2_grpc,
    transfers_pb2_grpc,
)
from apportion.events import Redis, Relay, ReplayServicer
from apportion.platform_groups.adapters.doorbell import Doorbell
from apportion.platform_groups.adapters.hosts import Hosts
from apportion.platform_groups.adapters.passwords import new_password
from apportion.platform_groups.adapters.servers import TradingServers
from apportion.platform_groups.adapters.vault import Vault, parse_keys
from apportion.platform_groups.adapters.weather import Snapshots, Weather
from apportion.platform_groups.operations.get_account_states import FreshStates
from apportion.platform_groups.peers import CRITICAL_METHODS, PEERS
from apportion.platform_groups.servicers.accounts import AccountsServicer
from apportion.platform_groups.servicers.deals import DealsServicer
from apportion.platform_groups.servicers.platform_groups import PlatformGroupsServicer
from apportion.platform_groups.servicers.trading import TradingServicer
from apportion.platform_groups.servicers.trading_servers import TradingServersServicer
from apportion.platform_groups.servicers.transfers import TransfersServicer
from apportion.platform_groups.settings import PlatformGroupsSettings
from apportion.platform_groups.workers.connector import ConnectorNeeds
from apportion.platform_groups.workers.egress import EgressNeeds
from apportion.platform_groups.workers.work import Work
from apportion.rpc import Server, Tls
from apportion.runtime import Background, Clock, Loops, ServiceApp, SystemClock
from apportion.runtime.service import SERVE, WORK
from apportion.storage import create_engine, housekeeping, open_database, ping
from apportion.storage import migrate as migrate_database

SCHEMA = "apportion.platform_groups.storage"
DATABASE_CONNECTIONS = 12
READ_CONNECTIONS = 4
"""Of lists, reports and replays, which hold up no order and no closing."""
STATES_BYTES = 64 << 20
"""An answer holds the states of all accounts of a trading server, some 80 bytes each."""
DRAIN_DELAY_SECONDS = 0.5
"""Time for callers to see that this replica goes, before it refuses them."""


@asynccontextmanager
async def build(settings: PlatformGroupsSettings, roles: set[str]) -> AsyncIterator[ServiceApp]:
    """Opens database, Redis and the vault in order, closes them in reverse. Refuses a database not to be trusted."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_database(settings, SCHEMA, pool_size=DATABASE_CONNECTIONS))
        reads = create_engine(settings.database_url, pool_size=READ_CONNECTIONS)
        stack.push_async_callback(reads.dispose)
        redis = Redis(settings.redis_url)
        stack.push_async_callback(redis.close)
        vault = Vault(parse_keys(settings.kek_text()))
        hosts = Hosts(allow_loopback=settings.allow_loopback_servers)
        servers = TradingServers(
            engine,
            vault,
            hosts,
            connections=settings.server_connections,
            timeout_seconds=settings.server_timeout_seconds,
        )
        stack.push_async_callback(servers.close)
        loops = _loops(settings, engine, servers, redis, clock) if WORK in roles else {}
        server = _server(settings, engine, reads, vault, hosts, servers, redis, clock) if SERVE in roles else None
        background = await stack.enter_async_context(Background())
        yield ServiceApp(background, server=server, loops=loops, drain_seconds=settings.drain_seconds)


def _loops(
    settings: PlatformGroupsSettings, engine: AsyncEngine, servers: TradingServers, redis: Redis, clock: Clock
) -> Loops:
    """What a worker runs, in the order of starting: the relay ends last, after the work whose events it carries."""
    work = _work(settings, engine, servers, redis, clock)
    return {
        **housekeeping(engine, settings, clock),
        "relay": Relay(engine, redis, owner=settings.worker_id, clock=clock).run,
        "work": work.run,
        "doorbell": Doorbell(settings.database_url, work.ring).run,
    }


def _work(
    settings: PlatformGroupsSettings,
    engine: AsyncEngine,
    servers: TradingServers,
    redis: Redis,
    clock: Clock,
) -> Work:
    egress = EgressNeeds(
        engine=engine,
        servers=servers,
        clock=clock,
        new_id=uuid.uuid4,
        new_password=new_password,
        lane_count=settings.order_lanes,
        answer_timeout=timedelta(seconds=settings.answer_timeout_seconds),
        price_age_seconds=settings.price_age_seconds,
    )
    connector = ConnectorNeeds(
        engine=engine,
        servers=servers,
        weather=Weather(redis),
        clock=clock,
        new_id=uuid.uuid4,
        deal_interval_seconds=settings.deal_interval_seconds,
        state_interval_seconds=settings.state_interval_seconds,
        tick_interval_seconds=settings.tick_interval_seconds,
        stop_interval_seconds=settings.stop_interval_seconds,
        account_interval_seconds=settings.account_interval_seconds,
    )
    return Work(egress, connector, owner=settings.worker_id, lease_seconds=settings.lease_seconds)


def _server(
    settings: PlatformGroupsSettings,
    engine: AsyncEngine,
    reads: AsyncEngine,
    vault: Vault,
    hosts: Hosts,
    servers: TradingServers,
    redis: Redis,
    clock: Clock,
) -> Server:
    tls = Tls.of(settings)
    server = Server(
        settings.listen_address,
        tls=tls,
        peers=PEERS if tls else None,
        domain="platform-groups.apportion",
        critical_methods=CRITICAL_METHODS,
        max_answer_bytes=STATES_BYTES,
        drain_delay_seconds=min(DRAIN_DELAY_SECONDS, settings.drain_seconds),
        ready=partial(ping, engine),
    )
    trading_servers_pb2_grpc.add_TradingServersServiceServicer_to_server(
        TradingServersServicer(engine, reads, vault, hosts, servers, clock), server.grpc
    )
    platform_groups_pb2_grpc.add_PlatformGroupsServiceServicer_to_server(
        PlatformGroupsServicer(engine, reads, servers, clock), server.grpc
    )
    accounts_pb2_grpc.add_AccountsServiceServicer_to_server(
        AccountsServicer(
            engine, reads, servers, Snapshots(redis), clock, new_password, FreshStates(engine, servers, clock)
        ),
        server.grpc,
    )
    trading_pb2_grpc.add_TradingServiceServicer_to_server(
        TradingServicer(engine, reads, servers, clock, uuid.uuid4), server.grpc
    )
    deals_pb2_grpc.add_DealsServiceServicer_to_server(DealsServicer(reads, servers, clock), server.grpc)
    transfers_pb2_grpc.add_TransfersServiceServicer_to_server(
        TransfersServicer(engine, reads, clock, uuid.uuid4), server.grpc
    )
    events_pb2_grpc.add_ReplayServiceServicer_to_server(ReplayServicer(reads), server.grpc)
    return server


async def migrate(settings: PlatformGroupsSettings) -> None:
    """Bring the database to this version."""
    await migrate_database(settings.database_url, SCHEMA)
