"""How fast is la.auth against an aiohttp hello: same client, 64 connections, interleaved rounds.

The server has core 0 for itself; the client and Valkey share core 1.

    .venv/bin/python services/auth-gateway/tests/bench/measure_la_auth.py [rounds] [seconds]

Prints one JSON line: requests per second, p99 and processor time per request of both, and medians of their ratios.
On a machine that does other things too, the ratio of processor times is the one to trust.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

CONNECTIONS = 64
LOGINS = 2_000
FIRST_LOGIN = 1_000


def serve_hello(pipe: Any) -> None:
    """The floor: the smallest aiohttp application."""
    from aiohttp import web

    async def hello(_request: web.Request) -> web.Response:
        return web.Response(text="hello")

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/dx", hello)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        pipe.send((site._server.sockets[0].getsockname()[1], ""))
        await asyncio.Event().wait()

    _run(main)


def serve_gateway(pipe: Any, database_url: str, redis_url: str) -> None:
    """The whole gateway; the wallet check is answered by a server of the real proto in this process."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from contextlib import AsyncExitStack

    from conftest import Upstream, start

    from apportion.auth_gateway.__main__ import quiet_collector
    from apportion.runtime import SystemClock, logs

    logs.configure("bench", "warning")

    async def main() -> None:
        async with AsyncExitStack() as stack:
            upstream = Upstream()
            for n in range(LOGINS):
                upstream.add_account(1, 100_000 + n, FIRST_LOGIN + n)
            limits = dict.fromkeys(
                ("attempts_per_login", "attempts_per_address", "attempts_per_label", "attempts_total"), 10**9
            )
            options = limits | {"wallets_ttl_seconds": 600, "brokers_ttl_seconds": 5, "clock": SystemClock()}
            gateway = await start(stack, database_url, redis_url, upstream, **options)
            quiet_collector()
            pipe.send((gateway.address[1], gateway.passwords[1]))
            await asyncio.Event().wait()

    _run(main)


def _run(main: Callable[[], Any]) -> None:
    import uvloop

    os.sched_setaffinity(0, {0})
    uvloop.run(main())


class Client(asyncio.Protocol):
    """One keep-alive connection that always has one request out; thin, so that the server is what is measured."""

    def __init__(self, requests: list[bytes], first: int, until: float, times: list[float], done: asyncio.Future[None]):
        self.requests, self.next, self.until, self.times, self.done = requests, first, until, times, done
        self.buffer = b""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._ask()

    def _ask(self) -> None:
        self.started = time.perf_counter()
        self.transport.write(self.requests[self.next % len(self.requests)])
        self.next += CONNECTIONS

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, separator, body = self.buffer.partition(b"\r\n\r\n")
        if not separator or len(body) < int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]):
            return
        assert head.startswith(b"HTTP/1.1 200"), self.buffer
        assert b'"error"' not in body, self.buffer
        self.buffer = b""
        now = time.perf_counter()
        self.times.append(now - self.started)
        if now < self.until:
            self._ask()
        else:
            self.transport.close()
            self.done.set_result(None)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(server: tuple[int, int], requests: list[bytes], seconds: float) -> tuple[float, float, float]:
    """Requests per second, the 99th percentile in seconds, and the server's processor seconds per request."""
    port, pid = server
    used = cpu_seconds(pid)
    loop = asyncio.get_running_loop()
    times: list[float] = []
    started = time.perf_counter()
    waits = [loop.create_future() for _ in range(CONNECTIONS)]
    for n, done in enumerate(waits):
        make = lambda n=n, done=done: Client(requests, n, started + seconds, times, done)  # noqa: E731
        await loop.create_connection(make, "127.0.0.1", port)
    await asyncio.gather(*waits)
    qps = len(times) / (time.perf_counter() - started)
    return qps, statistics.quantiles(times, n=100)[98], (cpu_seconds(pid) - used) / len(times)


def requests_for(password: str) -> list[bytes]:
    """la.auth for many wallets; the hello gets the very same bytes."""
    requests = []
    for login in range(FIRST_LOGIN, FIRST_LOGIN + LOGINS):
        body = b'{"jsonrpc":"2.0","id":null,"method":"la.auth","params":{"wa_login":%d}}' % login
        head = (
            f"POST /dx HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nla_login: {login}\r\n"
            f'la_type: 0\r\nlbl: 1\r\nManagerPass: "{password}"\r\nContent-Length: {len(body)}\r\n\r\n'
        )
        requests.append(head.encode() + body)
    return requests


async def measure(
    hello_server: tuple[int, int], gateway: tuple[int, int], password: str, rounds: int, seconds: float
) -> dict[str, Any]:
    requests = requests_for(password)
    await load(gateway, requests, 3.0)  # every wallet is asked for once
    await load(hello_server, requests, 1.0)
    pairs = [
        (await load(hello_server, requests, seconds), await load(gateway, requests, seconds)) for _ in range(rounds)
    ]
    return {
        "hello_qps": round(statistics.median(hello[0] for hello, _ in pairs)),
        "la_auth_qps": round(statistics.median(mine[0] for _, mine in pairs)),
        "qps_ratio": round(statistics.median(mine[0] / hello[0] for hello, mine in pairs), 3),
        "hello_p99_ms": round(statistics.median(hello[1] for hello, _ in pairs) * 1000, 2),
        "la_auth_p99_ms": round(statistics.median(mine[1] for _, mine in pairs) * 1000, 2),
        "hello_cpu_us": round(statistics.median(hello[2] for hello, _ in pairs) * 1e6, 1),
        "la_auth_cpu_us": round(statistics.median(mine[2] for _, mine in pairs) * 1e6, 1),
        "cpu_ratio": round(statistics.median(hello[2] / mine[2] for hello, mine in pairs), 3),
        "p99_ratio": round(statistics.median(mine[1] / hello[1] for hello, mine in pairs), 2),
    }


async def prepare(folder: Path) -> tuple[Any, Any, str, str]:
    from apportion.devstack.postgres import EmbeddedPostgres
    from apportion.devstack.valkey import EmbeddedValkey
    from apportion.storage import migrate

    postgres, valkey = EmbeddedPostgres(folder / "postgres"), EmbeddedValkey(folder / "valkey")
    await postgres.start()
    redis_url = await valkey.start()
    database_url = await postgres.create_database("gateway", "gateway")
    await migrate(database_url, "apportion.auth_gateway.storage")
    return postgres, valkey, database_url, redis_url


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 3.0
    os.sched_setaffinity(0, {1} if (os.cpu_count() or 1) > 1 else {0})  # for the databases, too: children inherit it
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner() as runner:
        postgres, valkey, database_url, redis_url = runner.run(prepare(Path(folder)))
        spawn = multiprocessing.get_context("spawn")
        processes, told = [], []
        try:
            for target, arguments in ((serve_hello, ()), (serve_gateway, (database_url, redis_url))):
                mine, theirs = spawn.Pipe()
                processes.append(spawn.Process(target=target, args=(theirs, *arguments), daemon=True))
                processes[-1].start()
                told.append(mine.recv())
            servers = [(port, process.pid) for (port, _), process in zip(told, processes, strict=True)]
            result = runner.run(measure(*servers, told[1][1], rounds, seconds))
            print(json.dumps(result))
        finally:
            for process in processes:
                process.terminate()
            runner.run(valkey.stop())
            runner.run(postgres.stop())


if __name__ == "__main__":
    main()
