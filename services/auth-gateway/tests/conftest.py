"""A whole gateway on real PostgreSQL and Valkey, reached over real sockets; the two other services are stand-ins that
serve the real protos."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import grpc
import pytest
import pytest_asyncio
from google.protobuf.timestamp_pb2 import Timestamp
from prometheus_client import REGISTRY

from apportion.api.allocation.v1 import masters_pb2, masters_pb2_grpc, subscriptions_pb2, subscriptions_pb2_grpc
from apportion.api.platform_groups.v1 import accounts_pb2, accounts_pb2_grpc
from apportion.auth_gateway.app import HttpServer, build
from apportion.auth_gateway.domain.brokers import NewBroker
from apportion.auth_gateway.operations.administer_broker import BrokerOffice, create_broker
from apportion.auth_gateway.operations.check_password import PasswordCheck
from apportion.auth_gateway.settings import AuthGatewaySettings
from apportion.errors import NotFound
from apportion.rpc import caller
from apportion.runtime import Clock, FixedClock, ServiceApp
from apportion.storage import create_engine
from apportion.testing.databases import Databases
from apportion.testing.plugin import servers_key
from apportion.testing.servers import serving

PEPPER = "0123456789abcdef0123456789abcdef"
LOGIN = 432450857
AREA = "http://invest.broker.example"
CREATED = Timestamp(seconds=1_760_000_000)
PACKAGE = "apportion.auth_gateway.storage"
SHARED_REDIS_DATABASE = "/15"
REQUEST_ID = "fixed-request-id"


class Upstream:
    """platform-groups and allocation in one: answers from lists, counts calls, fails when told to."""

    def __init__(self) -> None:
        self.accounts: dict[tuple[int, int], accounts_pb2.Account] = {}
        self.masters: list[masters_pb2.Master] = []
        self.subscriptions: list[subscriptions_pb2.Subscription] = []
        self.calls: list[str] = []
        self.failure: Exception | None = None
        self.gate: asyncio.Event | None = None

    def add_account(self, label: int, account_id: int, login: int, *, wallet: int = 0, **changes: Any) -> None:
        account = accounts_pb2.Account(
            account_id=account_id,
            login=login,
            kind=accounts_pb2.ACCOUNT_KIND_INVESTMENT if wallet else accounts_pb2.ACCOUNT_KIND_WALLET,
            state=accounts_pb2.ACCOUNT_STATE_OPEN,
            access=accounts_pb2.ACCOUNT_ACCESS_FULL,
            currency_code="USD",
            leverage=100,
            holder_name="Ann Investor",
            wallet_account_id=wallet or account_id,
            create_time=CREATED,
        )
        for name, value in changes.items():
            setattr(account, name, value)
        self.accounts[label, account_id] = account

    async def GetAccount(self, request: accounts_pb2.GetAccountRequest, context: object) -> Any:
        await self._enter("GetAccount")
        for (label, account_id), account in self.accounts.items():
            if label == caller().label and (account_id == request.account_id or account.login == request.login):
                return accounts_pb2.GetAccountResponse(account=account)
        raise NotFound("account", request.account_id or request.login)

    async def ListMasters(self, request: masters_pb2.ListMastersRequest, context: object) -> Any:
        await self._enter("ListMasters")
        found = [
            m
            for m in self.masters
            if (m.listed_on_leaderboard or not request.only_listed_on_leaderboard)
            and request.wallet_account_id in (0, m.wallet_account_id)
        ]
        return masters_pb2.ListMastersResponse(masters=found[: request.page_size], next_page_token="next")

    async def ListSubscriptions(self, request: subscriptions_pb2.ListSubscriptionsRequest, context: object) -> Any:
        await self._enter("ListSubscriptions")
        found = [s for s in self.subscriptions if s.wallet_account_id == request.wallet_account_id]
        return subscriptions_pb2.ListSubscriptionsResponse(subscriptions=found)

    async def _enter(self, name: str) -> None:
        self.calls.append(f"{name} {caller().peer} {caller().label}")
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure

    async def _unused(self, request: object, context: object) -> Any:
        raise AssertionError("the gateway does not call this method")

    def __getattr__(self, name: str) -> Any:
        """Every other method of the three services."""
        if name[0].isupper():
            return self._unused
        raise AttributeError(name)

    def register(self, server: grpc.aio.Server) -> None:
        accounts_pb2_grpc.add_AccountsServiceServicer_to_server(self, server)
        masters_pb2_grpc.add_MastersServiceServicer_to_server(self, server)
        subscriptions_pb2_grpc.add_SubscriptionsServiceServicer_to_server(self, server)


@dataclass
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: Any
    json: Any = None

    @property
    def error(self) -> dict[str, Any]:
        return self.json["error"]

    @property
    def reason(self) -> str:
        return self.json["error"]["data"]["reason"]

    @property
    def refusal(self) -> tuple[int, int, str]:
        """HTTP status, code and reason of what never became a call."""
        assert self.json["id"] is None
        return self.status, self.error["code"], self.reason


@dataclass
class Gateway:
    """A running gateway and what tests do to it."""

    app: ServiceApp
    settings: AuthGatewaySettings
    clock: Any
    upstream: Upstream
    office: BrokerOffice
    http: aiohttp.ClientSession
    passwords: dict[int, str] = field(default_factory=dict)

    @property
    def server(self) -> HttpServer:
        server = self.app._server
        assert isinstance(server, HttpServer)
        return server

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = (self.app.address() or "").rpartition(":")
        return host, int(port)

    async def add_broker(self, label: int, *areas: str, **changes: Any) -> str:
        new = NewBroker(label, changes.pop("name", f"Broker {label}"), **changes)
        self.passwords[label] = await create_broker(self.office, new, list(areas or (AREA,)))
        return self.passwords[label]

    def credentials(self, label: int = 1, login: int = LOGIN, **changes: Any) -> dict[str, str]:
        headers = {"la_login": str(login), "la_type": "0", "lbl": str(label), "ManagerPass": self.passwords[1]}
        headers |= {"X-Request-Id": REQUEST_ID} | changes
        return {name: value for name, value in headers.items() if value is not None}

    async def send(
        self, body: bytes = b"", headers: Any = None, method: str = "POST", path: str = "/dx", **options: Any
    ) -> Reply:
        url = f"http://{self.app.address()}{path}"
        sent = {"Content-Type": "application/json"} | dict(headers or {})
        async with self.http.request(
            method, url, data=body, headers=sent, allow_redirects=False, **options
        ) as response:
            text = await response.read()
            json = await response.json() if text and response.content_type == "application/json" else None
            return Reply(response.status, text, response.headers, json)

    async def raw(self, *parts: bytes, seconds: float = 5.0) -> bytes:
        """Send bytes as they are; everything that comes back until the gateway closes, or for `seconds`."""
        reader, writer = await asyncio.open_connection(*self.address)
        received = b""
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
            async with asyncio.timeout(seconds):
                while part := await reader.read(65_536):
                    received += part
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
        return received

    @staticmethod
    def metric(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0.0

    async def call(self, method: str, params: Any = None, headers: Any = None, **members: Any) -> Reply:
        import json

        body = {"jsonrpc": "2.0", "id": 1, "method": method} | members
        if params is not None:
            body["params"] = params
        return await self.send(json.dumps(body).encode(), headers)

    async def la_auth(self, headers: Any = None, wa_login: Any = LOGIN, **params: Any) -> Reply:
        return await self.call("la.auth", {"wa_login": wa_login} | params, headers or self.credentials())

    async def token(self) -> str:
        reply = await self.la_auth()
        assert reply.status == 200
        return reply.json["result"]["token"]

    async def sign_in(self) -> dict[str, str]:
        """The headers of a fresh session."""
        reply = await self.call("session.exchange", {"token": await self.token(), "transport": "bearer"})
        return {"Authorization": f"Bearer {reply.json['result']['session']}", "X-Request-Id": REQUEST_ID}


StartGateway = Callable[..., Awaitable[Gateway]]


async def start(
    stack: AsyncExitStack,
    database_url: str,
    redis_url: str,
    upstream: Upstream | None = None,
    clock: Clock | None = None,
    **changes: Any,
) -> Gateway:
    """A gateway with these settings, broker 1 and its user's wallet; all closed with the stack."""
    upstream = upstream or Upstream()
    address = await stack.enter_async_context(serving(upstream.register))
    values: dict[str, Any] = {
        "database_url": database_url,
        "redis_url": redis_url,
        "insecure": True,
        "pepper": PEPPER,
        "platform_groups_address": address,
        "allocation_address": address,
        "refusal_seconds": 0.0,
        "brokers_ttl_seconds": 1.0,
    }
    settings = AuthGatewaySettings(**values | changes)
    clock = clock or FixedClock(datetime.now(UTC))  # near Redis's own clock, which ends keys
    app = await stack.enter_async_context(build(settings, {"serve"}, clock))
    await app.start()
    stack.push_async_callback(app.stop)
    engine = create_engine(settings.database_url, pool_size=2)
    stack.push_async_callback(engine.dispose)
    office = BrokerOffice(engine, clock, os.urandom, PasswordCheck(PEPPER.encode(), clock), "test")
    http = await stack.enter_async_context(aiohttp.ClientSession())
    gateway = Gateway(app, settings, clock, upstream, office, http)
    await gateway.add_broker(1)
    upstream.add_account(1, 7, LOGIN)
    return gateway


@pytest.fixture
async def start_gateway(make_database: Any, redis_url: str) -> AsyncIterator[StartGateway]:
    """`await start_gateway(attempts_per_login=3)`: a gateway with these settings and broker 1 with the wallet LOGIN."""
    async with AsyncExitStack() as stack:

        async def started(**changes: Any) -> Gateway:
            database_url = await make_database(PACKAGE)
            return await start(stack, database_url, changes.pop("redis_url", redis_url), **changes)

        yield started


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_gateway(pytestconfig: pytest.Config) -> AsyncIterator[Gateway]:
    """One gateway for all tests of a module that leave nothing behind; they run in the module's event loop."""
    servers = pytestconfig.stash[servers_key]
    databases = Databases(servers.database_url())
    async with AsyncExitStack() as stack:
        stack.push_async_callback(databases.drop_all)
        redis_url = urlsplit(servers.redis_url())._replace(path=SHARED_REDIS_DATABASE).geturl()
        gateway = await start(stack, await databases.make(PACKAGE), redis_url)
        await gateway.server._stores.redis.command("FLUSHDB")
        yield gateway


@pytest.fixture
def upstream() -> Upstream:
    """The stand-in for platform-groups and allocation, not yet served."""
    return Upstream()


@pytest.fixture
async def gateway(start_gateway: StartGateway) -> Gateway:
    """A gateway with broker 1 (area AREA) whose user has the wallet LOGIN, account 7."""
    return await start_gateway()
