"""A simulator per test on real sockets, and a client that speaks the Web API by hand."""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from apportion.mt5_simulator.certificate import server_context
from apportion.mt5_simulator.domain.clock import start_utc_ms
from apportion.mt5_simulator.domain.settings import ServerSettings
from apportion.mt5_simulator.prices.choice import choose_feed
from apportion.mt5_simulator.process import AdminClient, SimulatorProcess
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.serving import Ready, listening

CLIENT_RANDOM = "4db98fec17aab4dc5a240bdc659e8395"


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


class RawClient:
    """One pinned TLS connection. Knows nothing of the simulator's code."""

    def __init__(self, simulator: RunningSimulator | SimulatorProcess) -> None:
        self.simulator = simulator
        context = ssl.create_default_context(cafile=str(simulator.ca_file))
        connector = aiohttp.TCPConnector(ssl=context, limit=1, keepalive_timeout=300)
        self.http = aiohttp.ClientSession(connector=connector)

    async def close(self) -> None:
        await self.http.close()

    async def send(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> tuple[int, Any]:
        """Status and parsed reply; `path` goes out as it is."""
        url = URL(f"{self.simulator.https_url}/api/{path}", encoded=True)
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body is not None else None
        verb = method or ("GET" if body is None else "POST")
        async with self.http.request(verb, url, data=data, headers=headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if response.status == 200 else None

    async def ask(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        """The reply of a request that is served: retcode as it stands."""
        status, reply = await self.send(path, body, method)
        assert status == 200
        return reply

    async def answer(self, path: str, body: dict[str, Any] | None = None) -> Any:
        reply = await self.ask(path, body)
        assert reply["retcode"] == "0 Done", (path, body, reply)
        return reply.get("answer")

    async def log_in(self, password: str | None = None) -> tuple[int, Any]:
        login = self.simulator.manager_login
        start = await self.ask(f"auth/start?version=484&agent=Raw&login={login}&type=manager")
        secret = _md5(_md5((password or self.simulator.manager_password).encode("utf-16-le")) + b"WebAPI")
        proof = _md5(secret + bytes.fromhex(start["srv_rand"])).hex()
        status, reply = await self.send(f"auth/answer?srv_rand_answer={proof}&cli_rand={CLIENT_RANDOM}")
        if status == 200:
            assert reply["cli_rand_answer"] == _md5(secret + bytes.fromhex(CLIENT_RANDOM)).hex()
        return status, reply

    async def result(self, request_id: str) -> list[Any] | None:
        """The result of a dealer request, None when there is no subscription to it."""
        for _ in range(400):
            answer = await self.answer(f"dealer/get_request_result?id={request_id}")
            if request_id not in answer:
                return None
            if answer[request_id]:
                return list(answer[request_id])
            await asyncio.sleep(0.005)
        raise AssertionError(f"request {request_id} stays pending")

    async def deal(self, **request: Any) -> dict[str, str]:
        """Send a dealer request and wait for its result: the request as the server echoes it."""
        sent = await self.answer("dealer/send_request", request)
        result = await self.result(sent["id"])
        assert result is not None
        assert result[0]["result"]["Retcode"] == result[1]["answer"]["ResultRetcode"]
        return dict(result[1]["answer"])


class RunningSimulator(AdminClient):
    """A server in this process, reached through its sockets alone; its clock stands still."""

    manager_login = 1000
    manager_password = "Manager1!"

    def __init__(self, ready: Ready, server: Server) -> None:
        super().__init__(ready.admin_url)
        self.https_url = ready.https_url
        self.ca_file = ready.ca_file
        self.server = server


@pytest.fixture
def settings() -> ServerSettings:
    return ServerSettings()


StartSimulator = Callable[[], Awaitable[RunningSimulator]]


@asynccontextmanager
async def _running(folder: Path, settings: ServerSettings) -> AsyncIterator[RunningSimulator]:
    feed = choose_feed("walk", 1, settings.symbols)
    start_ms = start_utc_ms("2026-03-03T10:00:00", settings.zone)
    server = Server(settings, feed, start_utc_ms=start_ms, paused=True)
    certificate = folder / "simulator.pem"
    tls = server_context(certificate, "127.0.0.1", datetime.now(UTC))
    async with listening(server, host="127.0.0.1", https_port=0, admin_port=0, tls=tls, ca_file=certificate) as ready:
        simulator = RunningSimulator(ready, server)
        yield simulator
        await simulator.close()
    server.close()


@pytest.fixture
async def start_simulator(tmp_path: Path, settings: ServerSettings) -> AsyncIterator[StartSimulator]:
    """Starts one more simulator, each time it is called."""
    async with AsyncExitStack() as stack:
        yield lambda: stack.enter_async_context(_running(tmp_path, settings))


@pytest.fixture
async def simulator(start_simulator: StartSimulator) -> RunningSimulator:
    simulator = await start_simulator()
    await simulator.set_price("EURUSD", "1.10000", "1.10010")
    return simulator


@pytest.fixture
async def client(simulator: RunningSimulator) -> AsyncIterator[RawClient]:
    client = RawClient(simulator)
    assert (await client.log_in())[0] == 200
    yield client
    await client.close()


@pytest.fixture
async def stranger(simulator: RunningSimulator) -> AsyncIterator[RawClient]:
    """A connection that has not logged in."""
    client = RawClient(simulator)
    yield client
    await client.close()
