"""A whole platform-groups in the process of the test, against a real simulator process."""

from __future__ import annotations

import asyncio
import base64
import sys
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.api.platform_groups.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    deals_pb2_grpc,
    platform_groups_pb2,
    platform_groups_pb2_grpc,
    trading_pb2,
    trading_pb2_grpc,
    trading_servers_pb2,
    trading_servers_pb2_grpc,
    transfers_pb2_grpc,
)
from apportion.devstack.ports import free_port
from apportion.mt5_simulator.process import AdminClient, SimulatorProcess
from apportion.platform_groups.app import SCHEMA, build
from apportion.platform_groups.settings import PlatformGroupsSettings
from apportion.rpc import call_options, open_channel, to_timestamp
from apportion.runtime import Background
from apportion.storage import create_engine, transaction
from apportion.testing.plugin import EngineFor
from apportion.testing.polling import eventually

sys.path.insert(0, str(Path(__file__).parent))  # for platform_world, the rows that tests of operations begin with
from platform_world import ACCOUNT_ROW, GROUP_ROW, SERVER_ROW, store

GROUP = "demo\\forex-hedge-usd"
PATIENCE_SECONDS = 60.0
"""For what comes true in a moment on a quiet machine."""
KEK = base64.b64encode(b"k" * 32).decode()
LABEL = 1
TIME_FLIES = [
    text(
        f"""UPDATE {table} SET sent_time = sent_time - interval '1 hour' WHERE {key} IN (
            SELECT {key} FROM {table} WHERE state = {unknown} AND sent_time > now() - interval '1 minute'
            FOR UPDATE SKIP LOCKED)"""
    )
    for table, key, unknown in (("orders", "order_id", 3), ("transfer_legs", "leg_id", 4))
]
TIME_FLIES += [
    text(
        f"""UPDATE accounts SET {column} = NULL WHERE account_id IN (
            SELECT account_id FROM accounts WHERE {column} IS NOT NULL FOR UPDATE SKIP LOCKED)"""
    )
    for column in ("full_write_until", "read_only_write_until")
]
FLYING_SECONDS = 0.05


class Platform:
    """A running service and a client of it.

    While `time_flies`, nobody waits for what may still be on the wire after its answer was lost: the simulator loses
    answers with their connection. So its patience may be long, and a busy machine is not taken for a lost answer.
    """

    def __init__(self, settings: PlatformGroupsSettings, engine: AsyncEngine, channel: object) -> None:
        self.settings = settings
        self.engine = engine
        self.servers = trading_servers_pb2_grpc.TradingServersServiceStub(channel)
        self.groups = platform_groups_pb2_grpc.PlatformGroupsServiceStub(channel)
        self.accounts = accounts_pb2_grpc.AccountsServiceStub(channel)
        self.trading = trading_pb2_grpc.TradingServiceStub(channel)
        self.deals = deals_pb2_grpc.DealsServiceStub(channel)
        self.transfers = transfers_pb2_grpc.TransfersServiceStub(channel)
        self.time_flies = True
        self.server_id = 0
        self.group_id = 0

    async def set_up(self, simulator: Simulator | SimulatorProcess) -> None:
        """Register the simulator and one group on it."""
        response = await self.servers.RegisterTradingServer(registration(simulator), **options())
        self.server_id = response.trading_server.trading_server_id
        await self.add_group("demo usd", GROUP)

    async def add_group(self, name: str, server_group: str) -> None:
        """One more group, where accounts are made from now on."""
        request = platform_groups_pb2.CreatePlatformGroupRequest(
            request_id=new_id(),
            trading_server_id=self.server_id,
            name=name,
            server_group=server_group,
            currency_code="USD",
            default_leverage=100,
        )
        group = await self.groups.CreatePlatformGroup(request, **options())
        self.group_id = group.platform_group.platform_group_id

    async def account(
        self, *, kind: int = accounts_pb2.ACCOUNT_KIND_WALLET, balance_minor: int = 0, wallet: int = 0
    ) -> accounts_pb2.Account:
        request = accounts_pb2.CreateAccountRequest(
            request_id=new_id(),
            platform_group_id=self.group_id,
            kind=kind,
            holder_name="Ada Trader",
            wallet_account_id=wallet,
            initial_balance_minor=balance_minor,
        )
        return (await self.accounts.CreateAccount(request, **options())).account

    def new_id(self) -> str:
        return new_id()

    def options(self, seconds: float = PATIENCE_SECONDS, label: int = LABEL) -> dict[str, object]:
        return options(seconds, label)

    async def let_time_fly(self) -> None:
        """For ever."""
        while True:
            if self.time_flies:
                async with transaction(self.engine) as tx:
                    for statement in TIME_FLIES:
                        await tx.execute(statement)
            await asyncio.sleep(FLYING_SECONDS)

    async def get(self, account_id: int) -> accounts_pb2.Account:
        request = accounts_pb2.GetAccountRequest(account_id=account_id)
        return (await self.accounts.GetAccount(request, **options())).account

    async def submit(
        self,
        source: str,
        orders: Sequence[tuple[int, int]],
        *,
        tickets: Sequence[int] = (),
        seconds: float = 600.0,
        symbol: str = "EURUSD",
        **columns: Sequence[int],
    ) -> trading_pb2.SubmitOrdersResponse:
        """Orders as (account id, signed volume); with position tickets they close. Items are numbered from 1."""
        request = trading_pb2.SubmitOrdersRequest(
            request_id=new_id(),
            source_id=source,
            ordering_key=5,
            purpose=trading_pb2.ORDER_PURPOSE_CLOSE if tickets else trading_pb2.ORDER_PURPOSE_OPEN,
            item_ids=range(1, len(orders) + 1),
            account_ids=[account for account, _ in orders],
            volumes_e8=[volume for _, volume in orders],
            position_tickets=tickets,
            symbols=[symbol],
            not_after_time=None if tickets else to_timestamp(datetime.now(UTC) + timedelta(seconds=seconds)),
            **columns,
        )
        return await self.trading.SubmitOrders(request, **options())

    async def modify(
        self, source: str, account_id: int, ticket: int, stop_loss_e8: int, take_profit_e8: int = 0
    ) -> trading_pb2.SubmitOrdersResponse:
        """One modification of a position, as item 1."""
        request = trading_pb2.SubmitOrdersRequest(
            request_id=new_id(),
            source_id=source,
            ordering_key=5,
            purpose=trading_pb2.ORDER_PURPOSE_MODIFY,
            item_ids=[1],
            account_ids=[account_id],
            position_tickets=[ticket],
            symbols=["EURUSD"],
            stop_losses_e8=[stop_loss_e8],
            take_profits_e8=[take_profit_e8],
        )
        return await self.trading.SubmitOrders(request, **options())

    async def orders(self, source: str) -> trading_pb2.OrderColumns:
        return (await self.trading.ListOrders(trading_pb2.ListOrdersRequest(source_id=source), **options())).orders

    async def finished(self, source: str, timeout_seconds: float = PATIENCE_SECONDS) -> trading_pb2.OrderColumns:
        """The orders of a source when all have ended."""

        async def ended() -> trading_pb2.OrderColumns | None:
            orders = await self.orders(source)
            done = orders.states and min(orders.states) >= trading_pb2.ORDER_STATE_FILLED
            return orders if done else None

        return await eventually(ended, timeout_seconds)

    async def let_pass(self, source: str) -> None:
        """When all orders of a source have been sent, their time limit passes."""

        async def sent() -> bool:
            return min((await self.orders(source)).states) > trading_pb2.ORDER_STATE_SENDING

        await eventually(sent, PATIENCE_SECONDS)
        passed = text("UPDATE orders SET not_after_time = :time WHERE source_id = :source")
        passed_time = datetime.now(UTC) - timedelta(hours=self.time_flies)
        async with transaction(self.engine) as tx:
            await tx.execute(passed, {"source": source, "time": passed_time})

    async def positions(self, account_id: int) -> list[trading_pb2.Position]:
        request = trading_pb2.ListPositionsRequest(account_id=account_id)
        return list((await self.trading.ListPositions(request, **options())).positions)

    async def events(self, topic: str) -> list[tuple[str, bytes]]:
        """(type, payload) of all events of a topic, oldest first."""
        query = text("SELECT type, payload FROM outbox WHERE aggregate_type = :topic ORDER BY occurred_time, sequence")
        async with transaction(self.engine) as tx:
            return [(row.type, bytes(row.payload)) for row in await tx.execute(query, {"topic": topic})]


def new_id() -> str:
    return str(uuid.uuid4())


def options(seconds: float = PATIENCE_SECONDS, label: int = LABEL) -> dict[str, object]:
    """A busy machine may take a server for unhealthy for a moment: calls wait."""
    return {**call_options(label, seconds), "wait_for_ready": True}


def registration(
    simulator: Simulator | SimulatorProcess, **changes: object
) -> trading_servers_pb2.RegisterTradingServerRequest:
    values: dict[str, object] = {
        "request_id": new_id(),
        "name": "simulator",
        "type": trading_servers_pb2.TRADING_SERVER_TYPE_MT5,
        "kind": trading_servers_pb2.TRADING_SERVER_KIND_DEMO,
        "host": "127.0.0.1",
        "port": int(simulator.https_url.rsplit(":", 1)[1]),
        "time_zone": "Europe/Helsinki",
        "manager_login": simulator.manager_login,
        "manager_password": simulator.manager_password,
        "ca_certificate_pem": simulator.ca_file.read_text(),
    }
    return trading_servers_pb2.RegisterTradingServerRequest(**(values | changes))


@pytest.fixture(name="registration")
def registration_fixture() -> Callable[..., trading_servers_pb2.RegisterTradingServerRequest]:
    """`registration(simulator, port=1)`: a request with these fields changed."""
    return registration


Start = Callable[..., AbstractAsyncContextManager[Platform]]


class Simulator(AdminClient):
    """The shared simulator as one test sees it, in its own event loop."""

    def __init__(self, process: SimulatorProcess) -> None:
        super().__init__(process.admin_url)
        self.https_url = process.https_url
        self.ca_file = process.ca_file
        self.manager_login = process.manager_login
        self.manager_password = process.manager_password


@pytest.fixture(scope="session")
def shared_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    """One process for all tests that do not kill it; its pipe is served by a loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="simulator")
    thread.start()
    process = SimulatorProcess(tmp_path_factory.mktemp("simulator"), prices="walk", durable=False)
    asyncio.run_coroutine_threadsafe(process.start(), loop).result()
    try:
        yield process
    finally:
        asyncio.run_coroutine_threadsafe(process.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
async def simulator(shared_simulator: SimulatorProcess) -> AsyncIterator[Simulator]:
    """The shared simulator without faults, EURUSD at 1.10000/1.10010."""
    client = Simulator(shared_simulator)
    await client.set_price("EURUSD", "1.09990", "1.10000")  # the price of the test before would not be a new one
    await client.set_price("EURUSD", "1.10000", "1.10010")
    yield client
    await client.clear_faults()
    await client.close()


@pytest.fixture
async def own_simulator(tmp_path: Path) -> AsyncIterator[SimulatorProcess]:
    """A process that the test may kill; it keeps its state on disk, and its ports while it is away."""
    ports = ["--https-port", str(free_port()), "--admin-port", str(free_port())]
    async with SimulatorProcess(tmp_path / "simulator", prices="walk", options=ports) as process:
        await process.set_price("EURUSD", "1.10000", "1.10010")
        yield process


@pytest.fixture
def kek() -> str:
    """The key-encryption key of all processes of a test."""
    return KEK


@pytest.fixture
async def engine(engine_for: EngineFor) -> AsyncEngine:
    """A database with the account of `platform_world` on its server."""
    engine = await engine_for(SCHEMA)
    await store(engine, SERVER_ROW, GROUP_ROW, ACCOUNT_ROW)
    return engine


@pytest.fixture
async def database_url(make_database: Callable[[str], object]) -> str:
    return str(await make_database(SCHEMA))  # type: ignore[misc]


@pytest.fixture
def start(database_url: str, redis_url: str) -> Start:
    """`async with start() as platform`: serve and work in this process, on one database for the whole test."""

    @asynccontextmanager
    async def started(
        roles: frozenset[str] = frozenset({"serve", "work"}), **changes: object
    ) -> AsyncIterator[Platform]:
        values: dict[str, object] = {
            "database_url": database_url,
            "redis_url": redis_url,
            "insecure": True,
            "kek_base64": KEK,
            "allow_loopback_servers": True,
            "order_lanes": 2,
            "server_timeout_seconds": 20.0,
            "answer_timeout_seconds": 20.0,
            "price_age_seconds": 3600.0,
            "deal_interval_seconds": 0.03,
            "state_interval_seconds": 0.05,
            "stop_interval_seconds": 0.05,
            "account_interval_seconds": 3600.0,
            "lease_seconds": 10.0,
            "drain_seconds": 0.0,
        }
        settings = PlatformGroupsSettings.model_validate(values | changes)
        engine = create_engine(database_url)
        async with build(settings, set(roles)) as app:
            await app.start()
            channel = open_channel(app.address() or "", tls=None, service="platform-groups", peer="operator")
            platform = Platform(settings, engine, channel)
            try:
                async with Background() as background:
                    background.spawn("time", platform.let_time_fly)
                    yield platform
            finally:
                await channel.close()
                await app.stop()
                await engine.dispose()

    return started
