"""Composition root: engine, Redis, channels, operations and the HTTP server, in this order."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.auth_gateway.adapters.allocation import AllocationMasters
from apportion.auth_gateway.adapters.platform_groups import PlatformGroupsAccounts
from apportion.auth_gateway.adapters.wallet_memory import WalletMemory
from apportion.auth_gateway.operations.check_password import PasswordCheck
from apportion.auth_gateway.operations.exchange_token import SessionDesk
from apportion.auth_gateway.operations.issue_token import TokenDesk
from apportion.auth_gateway.operations.local_quota import LocalQuota
from apportion.auth_gateway.operations.ports import Accounts, Masters
from apportion.auth_gateway.settings import AuthGatewaySettings
from apportion.auth_gateway.storage.admissions import Admissions
from apportion.auth_gateway.storage.broker_directory import BrokerDirectory
from apportion.auth_gateway.storage.sessions import Sessions
from apportion.auth_gateway.storage.tokens import Tokens
from apportion.auth_gateway.web.connection import GatewayServer
from apportion.auth_gateway.web.methods import Services
from apportion.auth_gateway.web.rpc_endpoint import RpcEndpoint
from apportion.auth_gateway.web.site import Site
from apportion.errors import DatabaseUnavailable
from apportion.events import Redis, RedisUnavailable
from apportion.rpc import Tls, open_channel
from apportion.runtime import Background, Clock, ServiceApp, SystemClock
from apportion.storage import ClockWatch, open_database
from apportion.storage import migrate as migrate_database

SCHEMA = "apportion.auth_gateway.storage"
POOL_SIZE = 4
PEER = "auth-gateway"
BACKLOG = 1024
REDIS_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Stores:
    """What keeps state: PostgreSQL and Redis."""

    engine: AsyncEngine
    redis: Redis
    directory: BrokerDirectory


class HttpServer:
    """The listening side of the gateway. Links carry the port, and a port of 0 is known only once it is bound."""

    def __init__(
        self, settings: AuthGatewaySettings, stores: Stores, clock: Clock, accounts: Accounts, masters: Masters
    ):
        self._settings = settings
        self._stores = stores
        self._clock = clock
        self._accounts = accounts
        self._masters = masters
        self._passwords = PasswordCheck(settings.pepper.get_secret_value().encode(), clock)
        self._server: asyncio.Server | None = None
        self._http: GatewayServer | None = None
        self._draining = False

    async def start(self) -> str:
        """Bind, then serve; returns host:port really bound."""
        host, _, port = self._settings.listen_address.rpartition(":")
        family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
        listener = socket.create_server((host.strip("[]"), int(port)), family=family, backlog=BACKLOG)
        address = f"{host}:{listener.getsockname()[1]}"
        scheme = "https" if self._settings.https_certificate_file else "http"
        site = self._build_site(self._settings.public_url.rstrip("/") or f"{scheme}://{address}")
        self._http = GatewayServer(site.handle, self._settings.connection_limits)
        self._server = await asyncio.get_running_loop().create_server(
            self._http, sock=listener, ssl=self._https(), backlog=BACKLOG
        )
        return address

    async def drain(self, grace_seconds: float) -> None:
        """Not ready, no new connections, then every request in flight is answered."""
        self._draining = True
        if self._server is not None and self._http is not None:
            self._server.close()
            self._http.pre_shutdown()
            await self._http.shutdown(grace_seconds)
        self._passwords.close()

    async def ready(self) -> bool:
        """Whether a sign-in could succeed as far as our own stores go."""
        if self._draining:
            return False
        try:
            await self._stores.directory.current()
            await self._stores.redis.ping()
        except (DatabaseUnavailable, RedisUnavailable):
            return False
        return True

    def _build_site(self, public_url: str) -> Site:
        settings, stores = self._settings, self._stores
        admissions = Admissions(stores.redis, settings.attempt_limits)
        tokens = Tokens(stores.redis)
        token_desk = TokenDesk(
            clock=self._clock,
            random=os.urandom,
            directory=stores.directory,
            passwords=self._passwords,
            wallets=WalletMemory(self._accounts, self._clock, settings.wallets_ttl_seconds),
            admissions=admissions,
            tokens=tokens,
            local_quota=LocalQuota(settings.attempt_limits),
            refusal_seconds=settings.refusal_seconds,
        )
        session_desk = SessionDesk(
            clock=self._clock,
            random=os.urandom,
            directory=stores.directory,
            admissions=admissions,
            tokens=tokens,
            sessions=Sessions(stores.redis),
            exchanges_per_minute=settings.exchanges_per_address,
            calls_per_minute=settings.calls_per_user,
        )
        services = Services(token_desk, session_desk, self._accounts, self._masters, public_url)
        # request ids are no secrets: they need no system call
        return Site(settings.site_rules, RpcEndpoint(services), stores.directory, random.randbytes, self.ready)

    def _https(self) -> ssl.SSLContext | None:
        if self._settings.https_certificate_file is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._settings.https_certificate_file, self._settings.https_key_file)
        return context


@asynccontextmanager
async def build(
    settings: AuthGatewaySettings, _roles: set[str], clock: Clock | None = None
) -> AsyncIterator[ServiceApp]:
    """Open everything the gateway needs; closed in reverse. It has no consumers: every role serves."""
    clock = clock or SystemClock()
    tls = Tls.of(settings)
    async with AsyncExitStack() as stack:
        stores = await stack.enter_async_context(open_stores(settings, clock))
        platform_groups = await stack.enter_async_context(
            open_channel(settings.platform_groups_address, tls=tls, service="platform-groups", peer=PEER)
        )
        allocation = await stack.enter_async_context(
            open_channel(settings.allocation_address, tls=tls, service="allocation", peer=PEER)
        )
        accounts, masters = PlatformGroupsAccounts(platform_groups), AllocationMasters(allocation)
        server = HttpServer(settings, stores, clock, accounts, masters)
        clock_watch = ClockWatch(stores.engine, clock, alarm_seconds=settings.clock_skew_alarm_seconds)
        loops = {"clock_watch": clock_watch.run}
        background = await stack.enter_async_context(Background())
        yield ServiceApp(background, server=server, loops=loops, drain_seconds=settings.drain_seconds)


@asynccontextmanager
async def open_stores(settings: AuthGatewaySettings, clock: Clock) -> AsyncIterator[Stores]:
    """PostgreSQL, only one to be trusted, and Redis, which is not connected before it is used."""
    async with open_database(settings, SCHEMA, pool_size=POOL_SIZE) as engine:
        redis = Redis(settings.redis_url, answer_seconds=REDIS_SECONDS)
        try:
            yield Stores(engine, redis, BrokerDirectory(engine, clock, settings.brokers_ttl_seconds))
        finally:
            await redis.close()


async def migrate(settings: AuthGatewaySettings) -> None:
    """Bring the database to this version."""
    await migrate_database(settings.database_url, SCHEMA)
