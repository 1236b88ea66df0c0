"""Orders and new accounts through the whole of platform-groups to a simulated server, against the same server asked
directly with the same HTTPS client: as many connections, nobody told, nothing kept but two rows for an account."""

from __future__ import annotations

import asyncio
import base64
import logging
import time
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import structlog
from tests.bench.database import connect
from tests.bench.measure import Row, in_turn_async, rate
from tests.bench.processes import serving
from tests.bench.servers import Servers

from apportion.api.platform_groups.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    platform_groups_pb2,
    platform_groups_pb2_grpc,
    trading_pb2,
    trading_pb2_grpc,
    trading_servers_pb2,
    trading_servers_pb2_grpc,
)
from apportion.mt5 import Connection, DealerRequest, Endpoint, Pool, dealer, users
from apportion.mt5.retcodes import FILLED
from apportion.mt5_simulator.process import SimulatorProcess
from apportion.platform_groups.app import SCHEMA, build
from apportion.platform_groups.settings import PlatformGroupsSettings
from apportion.rpc import call_options, open_channel, to_timestamp

LABEL = 1
GROUP = "demo\\forex-hedge-usd"
SYMBOL, DIGITS, VOLUME_E8 = "EURUSD", 5, 1_000_000
BALANCE_MINOR = 100_000_000
ACCOUNTS = 100
ORDERS = 480
NEW_ACCOUNTS = 80
CREATING_AT_ONCE = 8
CONNECTIONS = 4
"""Of platform-groups to one server, for orders and for the rest."""
BATCH = 32
ROUNDS = 3
POLL_SECONDS = 0.01
CALL_SECONDS = 30.0
PATIENCE_SECONDS = 120.0
STATES = "SELECT state, reason, count(*) AS orders FROM orders WHERE source_id = $1 GROUP BY state, reason"
FILLED_STATE = 4


async def serve_platform(database_url: str, redis_url: str) -> tuple[str, object]:
    values = {
        "database_url": database_url,
        "redis_url": redis_url,
        "insecure": True,
        "kek_base64": base64.b64encode(bytes(32)).decode(),
        "allow_loopback_servers": True,
        "order_lanes": CONNECTIONS,
        "server_connections": CONNECTIONS,
    }
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    stack = AsyncExitStack()
    settings = PlatformGroupsSettings.model_validate(values)
    app = await stack.enter_async_context(build(settings, {"serve", "work"}))
    await app.start()
    return app.address() or "", stack


class Direct:
    """The simulated server without anything between.

    Who makes accounts durably commits twice, before and after the request, however little he does.
    """

    def __init__(self, simulator: SimulatorProcess, database: Sequence[Any]) -> None:
        endpoint = Endpoint(
            base_url=simulator.https_url,
            manager_login=simulator.manager_login,
            manager_password=simulator.manager_password,
            ca_pem=simulator.ca_file.read_text(),
        )
        self._dealers = [Connection(endpoint) for _ in range(CONNECTIONS)]
        self._pool = Pool(endpoint, CONNECTIONS)
        self._database = list(database)

    async def close(self) -> None:
        await asyncio.gather(self._pool.close(), *(connection.close() for connection in self._dealers))

    async def orders_a_second(self, logins: Sequence[int]) -> float:
        started = time.perf_counter()
        share = ORDERS // CONNECTIONS
        await asyncio.gather(*(self._trade(connection, logins, share) for connection in self._dealers))
        return ORDERS / (time.perf_counter() - started)

    async def accounts_a_second(self) -> float:
        numbers = iter(range(NEW_ACCOUNTS))

        async def create(connection: Any) -> None:
            insert = await connection.prepare("INSERT INTO bare_inserts (payload) VALUES ($1)")
            for number in numbers:
                await insert.fetch(b"creating")
                new = users.NewUser(GROUP, "Ann", 100, f"bare {number}", "Bench1!x", "Bench2!x")
                await insert.fetch(str((await users.add(self._pool, new)).login).encode())

        started = time.perf_counter()
        await asyncio.gather(*(create(connection) for connection in self._database))
        return NEW_ACCOUNTS / (time.perf_counter() - started)

    async def _trade(self, connection: Connection, logins: Sequence[int], count: int) -> None:
        """So many at a time, then their results: one question for all of them."""
        for first in range(0, count, BATCH):
            waiting = [
                await dealer.send(
                    connection, DealerRequest(logins[number % len(logins)], SYMBOL, DIGITS, VOLUME_E8, "bare")
                )
                for number in range(first, min(first + BATCH, count))
            ]
            while waiting:
                waiting = await self._collect(connection, waiting)

    async def _collect(self, connection: Connection, waiting: list[int]) -> list[int]:
        found = await dealer.results(connection, waiting)
        assert not found.gone
        assert all(confirmation.retcode in FILLED for confirmation in found.finished.values())
        return [id_ for id_ in waiting if id_ not in found.finished]


@dataclass
class Ours:
    """platform-groups in a process of its own, as its callers see it."""

    channel: grpc.aio.Channel
    connection: Any
    group_id: int = 0

    async def set_up(self, simulator: SimulatorProcess) -> None:
        register = trading_servers_pb2.RegisterTradingServerRequest(
            request_id=str(uuid.uuid4()),
            name="simulator",
            type=trading_servers_pb2.TRADING_SERVER_TYPE_MT5,
            kind=trading_servers_pb2.TRADING_SERVER_KIND_DEMO,
            host="127.0.0.1",
            port=int(simulator.https_url.rsplit(":", 1)[1]),
            time_zone="Europe/Helsinki",
            manager_login=simulator.manager_login,
            manager_password=simulator.manager_password,
            ca_certificate_pem=simulator.ca_file.read_text(),
        )
        servers = trading_servers_pb2_grpc.TradingServersServiceStub(self.channel)
        server = (await servers.RegisterTradingServer(register, **_options())).trading_server
        group = platform_groups_pb2.CreatePlatformGroupRequest(
            request_id=str(uuid.uuid4()),
            trading_server_id=server.trading_server_id,
            name="bench",
            server_group=GROUP,
            currency_code="USD",
            default_leverage=100,
        )
        groups = platform_groups_pb2_grpc.PlatformGroupsServiceStub(self.channel)
        created = await groups.CreatePlatformGroup(group, **_options())
        self.group_id = created.platform_group.platform_group_id

    async def create(self, count: int, balance_minor: int = 0) -> list[accounts_pb2.Account]:
        method = accounts_pb2_grpc.AccountsServiceStub(self.channel).CreateAccount
        slots = asyncio.Semaphore(CREATING_AT_ONCE)

        async def one() -> accounts_pb2.Account:
            request = accounts_pb2.CreateAccountRequest(
                request_id=str(uuid.uuid4()),
                platform_group_id=self.group_id,
                kind=accounts_pb2.ACCOUNT_KIND_WALLET,
                holder_name="Ann",
                initial_balance_minor=balance_minor,
            )
            async with slots:
                account: accounts_pb2.Account = (await method(request, **_options())).account
            return account

        return list(await asyncio.gather(*(one() for _ in range(count))))

    async def accounts_a_second(self) -> float:
        started = time.perf_counter()
        await self.create(NEW_ACCOUNTS)
        return NEW_ACCOUNTS / (time.perf_counter() - started)

    async def orders_a_second(self, account_ids: Sequence[int]) -> float:
        """From the call to the last order that is filled, booked and told."""
        source = f"bench/{uuid.uuid4()}"
        request = trading_pb2.SubmitOrdersRequest(
            request_id=str(uuid.uuid4()),
            source_id=source,
            ordering_key=1,
            purpose=trading_pb2.ORDER_PURPOSE_OPEN,
            item_ids=range(1, ORDERS + 1),
            account_ids=[account_ids[number % len(account_ids)] for number in range(ORDERS)],
            volumes_e8=[VOLUME_E8] * ORDERS,
            symbols=[SYMBOL],
            not_after_time=to_timestamp(datetime.now(UTC) + timedelta(seconds=PATIENCE_SECONDS)),
        )
        started = time.perf_counter()
        await trading_pb2_grpc.TradingServiceStub(self.channel).SubmitOrders(request, **_options())
        found: list[Any] = []
        while sum(row["orders"] for row in found if row["state"] == FILLED_STATE) < ORDERS:
            assert time.perf_counter() - started < PATIENCE_SECONDS, f"not all orders were filled: {found}"
            await asyncio.sleep(POLL_SECONDS)
            found = await self.connection.fetch(STATES, source)
        return ORDERS / (time.perf_counter() - started)


async def rows(servers: Servers) -> list[Row]:
    url, redis_url = await servers.database("platform_groups", SCHEMA), await servers.redis_url(7)
    folder: Path = servers.folder / "simulator"
    async with SimulatorProcess(folder, prices="walk", durable=False) as simulator:
        connections = [await connect(url) for _ in range(CREATING_AT_ONCE)]
        direct = Direct(simulator, connections)
        try:
            with serving(serve_platform, url, redis_url) as address:
                async with open_channel(address, tls=None, service="platform-groups", peer="operator") as channel:
                    ours = Ours(channel, connections[0])
                    await ours.set_up(simulator)
                    return await _measure(ours, direct)
        finally:
            await asyncio.gather(*(connection.close() for connection in connections))
            await direct.close()


async def _measure(ours: Ours, direct: Direct) -> list[Row]:
    accounts = await ours.create(ACCOUNTS, BALANCE_MINOR)
    ids, logins = [account.account_id for account in accounts], [account.login for account in accounts]
    # Before the orders: whose positions the server values again for each report of the accounts' states.
    created = await in_turn_async(ours.accounts_a_second, direct.accounts_a_second, ROUNDS)
    orders = await in_turn_async(lambda: ours.orders_a_second(ids), lambda: direct.orders_a_second(logins), ROUNDS)
    return [
        _row(f"orders to the server and back, {ORDERS:,} at once", "same client, directly", orders),
        _row(f"CreateAccount, {CREATING_AT_ONCE} in flight", "same client, two inserts", created),
    ]


def _row(headline: str, floor: str, measured: tuple[float, float, float]) -> Row:
    mine, bare, ratio = measured
    return Row(headline, rate(mine), f"{floor} {rate(bare)}", ratio, 0.6, 0.25)


def _options() -> dict[str, Any]:
    return {**call_options(LABEL, CALL_SECONDS), "wait_for_ready": True}
