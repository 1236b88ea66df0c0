"""One connection against a server that can be told to misbehave; and the real simulator process."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from apportion.mt5 import (
    Connection,
    ConnectionLost,
    DealerRequest,
    Endpoint,
    LoginRefused,
    NotSent,
    OutcomeUnknown,
    Pool,
    Refused,
    ServerNotGenuine,
    balance,
    dealer,
    deals,
    groups,
    handshake,
    positions,
    server_time,
    symbols,
    ticks,
    users,
)
from apportion.mt5_simulator.process import SimulatorProcess
from apportion.testing.polling import eventually

PASSWORD = "Manager1!"
GROUP = r"demo\forex-hedge-usd"


class Server:
    """Speaks the handshake over plain HTTP and counts."""

    def __init__(self) -> None:
        self.logins = 0
        self.calls: list[str] = []
        self.genuine = True
        self.cut_next = False
        self.cut_always = False
        self.forbid_next = False
        self.retcode = 0
        self.redirect_to = ""
        self.address = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        command = request.path.removeprefix("/api/")
        if command == "auth/start":
            return web.json_response({"retcode": "0 Done", "srv_rand": "00" * 16})
        if command == "auth/answer":
            self.logins += 1
            secret = handshake.password_hash(PASSWORD if self.genuine else "other")
            proof = hashlib.md5(secret + bytes.fromhex(request.query["cli_rand"])).hexdigest()
            return web.json_response({"retcode": "0 Done", "cli_rand_answer": proof})
        self.calls.append(f"{request.method} {command}")
        if self.redirect_to:
            return web.Response(status=307, headers={"Location": f"{self.redirect_to}/api/{command}"})
        if self.cut_next or self.cut_always:
            self.cut_next = False
            assert request.transport is not None
            request.transport.close()
        if self.forbid_next:
            self.forbid_next = False
            return web.Response(status=403)
        retcode = 13 if command == "missing" else self.retcode
        return web.json_response({"retcode": f"{retcode} Text", "answer": {}})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    fake = Server()
    application = web.Application()
    application.router.add_route("*", "/api/{command:.*}", fake.handle)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[Connection]:
    made = Connection(Endpoint(server.address, 1000, PASSWORD, timeout_seconds=30.0, ping_seconds=3600.0))
    yield made
    await made.close()


async def test_one_login_serves_many_calls(server: Server, connection: Connection) -> None:
    await connection.call("time/server")
    await connection.call("trade/x", write=True)
    assert server.logins == 1
    assert server.calls == ["POST time/server", "POST trade/x"]


async def test_pings_keep_a_login(server: Server) -> None:
    connection = Connection(Endpoint(server.address, 1000, PASSWORD, ping_seconds=0.02))
    await connection.call("time/server")
    await eventually(lambda: server.calls.count("POST test/access") >= 3)
    assert server.logins == 1
    await connection.close()


async def test_a_server_that_cannot_prove_itself_is_refused(server: Server, connection: Connection) -> None:
    server.genuine = False
    with pytest.raises(ServerNotGenuine):
        await connection.call("time/server")
    assert server.calls == []
    with pytest.raises(NotSent, match="waiting"):
        await connection.call("trade/x", write=True)


async def test_a_read_survives_a_cut_and_a_forgotten_login(server: Server, connection: Connection) -> None:
    await connection.call("time/server")
    server.cut_next = True
    await connection.call("time/server")
    server.forbid_next = True
    await connection.call("time/server")
    assert server.logins == 3


async def test_a_write_is_never_repeated(server: Server, connection: Connection) -> None:
    await connection.call("time/server")
    server.cut_next = True
    with pytest.raises(OutcomeUnknown):
        await connection.call("trade/x", write=True)
    server.forbid_next = True
    with pytest.raises(NotSent):
        await connection.call("trade/x", write=True)
    assert server.calls.count("POST trade/x") == 2


async def test_a_permit_is_asked_after_the_wait_for_a_connection(server: Server) -> None:
    async with Pool(Endpoint(server.address, 1000, PASSWORD), 1) as pool:
        permits = [True]
        async with pool.dedicated():
            waiting = asyncio.create_task(pool.call("trade/x", write=True, permit=lambda: permits[0]))
            await asyncio.wait([waiting], timeout=0.01)
            permits[0] = False
        with pytest.raises(NotSent):
            await waiting
        assert server.calls == []
        permits[0] = True
        await pool.call("trade/x", write=True, permit=lambda: permits[0])
        assert server.calls == ["POST trade/x"]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
async def test_the_system_gives_up_a_write_when_we_do(server: Server) -> None:
    connection = Connection(Endpoint(server.address, 1000, PASSWORD, timeout_seconds=2.5))
    made = connection._socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 0)))
    assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2_500
    made.close()


async def test_a_refusal_is_data(connection: Connection) -> None:
    with pytest.raises(Refused) as refused:
        await connection.call("missing")
    assert refused.value.retcode == 13


@pytest.mark.parametrize("retcode", [1, 2, 5, 6, 7, 9, 10, 15])
async def test_a_failure_within_the_server_refuses_no_write(
    server: Server, connection: Connection, retcode: int
) -> None:
    """An access server that has lost its trade server cannot say what that has done."""
    server.retcode = retcode
    with pytest.raises(OutcomeUnknown):
        await connection.call("trade/x", write=True)
    with pytest.raises(Refused):
        await connection.call("time/server")
    assert server.calls == ["POST trade/x", "POST time/server"]


async def test_a_redirect_is_not_followed(server: Server, connection: Connection) -> None:
    server.redirect_to = server.address.replace("127.0.0.1", "localhost")
    with pytest.raises(OutcomeUnknown):
        await connection.call("trade/x", write=True)
    with pytest.raises(ConnectionLost):
        await connection.call("time/server")
    assert server.calls == ["POST trade/x", "POST time/server", "POST time/server"]


async def test_the_address_is_looked_at_whenever_we_connect(server: Server) -> None:
    asked: list[str] = []

    def permits(address: str) -> bool:
        asked.append(address)
        return len(asked) == 1

    moving = Connection(Endpoint(server.address, 1000, PASSWORD, permits=permits))
    await moving.call("trade/x", write=True)
    server.cut_next = True
    with pytest.raises(OutcomeUnknown):
        await moving.call("trade/x", write=True)
    with pytest.raises(NotSent):
        await moving.call("trade/x", write=True)
    await moving.close()
    assert asked == ["127.0.0.1", "127.0.0.1"]
    assert server.logins == 1


async def test_nobody_there(server: Server) -> None:
    gone = Connection(Endpoint("http://127.0.0.1:1", 1000, PASSWORD))
    with pytest.raises(NotSent):
        await gone.call("trade/x", write=True)
    await gone.close()


async def test_the_simulator_from_login_to_close(tmp_path: Path) -> None:
    async with SimulatorProcess(tmp_path, prices="walk", durable=False) as simulator:
        await simulator.set_price("EURUSD", "1.10000", "1.10010")
        endpoint = Endpoint(
            simulator.https_url, simulator.manager_login, simulator.manager_password, simulator.ca_file.read_text()
        )
        wrong = Connection(Endpoint(endpoint.base_url, 1000, "wrong", endpoint.ca_pem))
        with pytest.raises(LoginRefused):
            await wrong.call("time/server")
        await wrong.close()
        unpinned = Connection(Endpoint(endpoint.base_url, 1000, endpoint.manager_password))
        with pytest.raises(NotSent):
            await unpinned.call("time/server")
        await unpinned.close()
        async with Pool(endpoint, size=2) as pool:
            new = users.NewUser(GROUP, "Ada", 100, "ap:1", "Abcdef1!x", "Abcdef1!y")
            login = (await users.add(pool, new)).login
            assert (await users.get(pool, login)).comment == "ap:1"
            await users.set_rights(pool, login, 487)
            assert [user.rights for user in await users.list_of_groups(pool, [GROUP]) if user.login == login] == [487]
            await users.set_rights(pool, login, 483)
            assert await balance.change(pool, login, 1_000_000, 2, "ap:t1") > 0
            assert (await groups.get(pool, GROUP)).currency == "USD"
            listing = await symbols.list_named(pool, ["EURUSD", "NOSUCH"])
            [symbol] = listing.symbols
            assert not listing.unreadable
            assert symbol.volume_step_e8 == 1_000_000
            seen = await ticks.last(pool, ["EURUSD"])
            assert seen.ticks[0].ask_e8 == 110_010_000
            assert (await ticks.last(pool, ["EURUSD"], seen.trans_id)).ticks == []
            now = await server_time.now_seconds(pool)
            await trade(pool, login)
            made = await deals.list_of_logins(pool, [login], now - 60, now + 60)
            assert [(deal.signed_volume_e8, deal.comment) for deal in made][1:] == [
                (100_000_000, "ap:o1"),
                (-100_000_000, "ap:o2"),
            ]
            await simulator.admin.disconnect_all()
            assert await positions.list_of_login(pool, login) == []


async def trade(pool: Pool, login: int) -> None:
    async with pool.dedicated() as connection:
        opened = await confirmed(connection, DealerRequest(login, "EURUSD", 5, 100_000_000, "ap:o1"))
        assert (opened.retcode, opened.price_e8) == (10009, 110_010_000)
        [position] = await positions.list_of_login(pool, login)
        close = DealerRequest(login, "EURUSD", 5, -100_000_000, "ap:o2", position=position.position)
        assert (await confirmed(connection, close)).retcode == 10009
        assert (await confirmed(connection, close)).retcode == 10036


async def confirmed(connection: Connection, request: DealerRequest) -> dealer.Confirmation:
    request_id = await dealer.send(connection, request)

    async def finished() -> dealer.Confirmation | None:
        return (await dealer.results(connection, [request_id])).finished.get(request_id)

    result = await eventually(finished)
    assert isinstance(result, dealer.Confirmation)
    return result


async def test_a_read_that_fails_twice_is_lost(server: Server, connection: Connection) -> None:
    server.cut_always = True
    with pytest.raises(ConnectionLost):
        await connection.call("time/server")
    assert server.calls == ["POST time/server"] * 2
