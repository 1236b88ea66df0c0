"""Bind both ports, announce them, serve until told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
from aiohttp import web

from apportion.mt5_simulator.admin import Admin
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.web.application import WebFront

ADMIN_HOST = "127.0.0.1"


class Ready(msgspec.Struct, frozen=True):
    """Where a started server is found."""

    https_url: str
    admin_url: str
    ca_file: str
    pid: int


@asynccontextmanager
async def listening(
    server: Server, *, host: str, https_port: int, admin_port: int, tls: ssl.SSLContext, ca_file: Path
) -> AsyncIterator[Ready]:
    """Both ports open (0 is any free one) and prices moving, for as long as the context lasts."""
    front = WebFront(server)
    https = web.ServerRunner(front)
    admin = web.AppRunner(Admin(server, front).application(), access_log=None)
    await https.setup()
    await admin.setup()
    try:
        await web.TCPSite(https, host, https_port, ssl_context=tls, backlog=4096).start()
        await web.TCPSite(admin, ADMIN_HOST, admin_port).start()
        https_url = f"https://{host}:{https.addresses[0][1]}"
        admin_url = f"http://{ADMIN_HOST}:{admin.addresses[0][1]}"
        yield Ready(https_url, admin_url, str(ca_file), os.getpid())
    finally:
        front.disconnect_all()
        await https.cleanup()
        await admin.cleanup()


async def serve(
    server: Server,
    *,
    host: str,
    https_port: int,
    admin_port: int,
    tls: ssl.SSLContext,
    ca_file: Path,
    ready_file: Path | None,
) -> None:
    """Prints one line of JSON when ready, and writes it to `ready_file`. Ends on SIGTERM and SIGINT."""
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    async with listening(
        server, host=host, https_port=https_port, admin_port=admin_port, tls=tls, ca_file=ca_file
    ) as ready:
        prices = asyncio.create_task(server.keep_prices())
        line = msgspec.json.encode(ready).decode()
        print(line, flush=True)  # noqa: T201 - whoever started us reads it
        if ready_file is not None:
            _write_whole(ready_file, line)
        await _first(stop, prices)
        prices.cancel()
    server.close()


async def _first(stop: asyncio.Event, prices: asyncio.Task[None]) -> None:
    """Wait for the stop signal; a failure of the price loop ends the server with its error."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({stopped, prices}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if prices.done():
        prices.result()


def _write_whole(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    partial.write_text(text)
    partial.replace(file)
