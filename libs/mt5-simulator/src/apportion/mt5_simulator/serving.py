"""Bind both ports, announce them, serve until told to stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
from pathlib import Path

from aiohttp import web

from apportion.mt5_simulator.admin import Admin
from apportion.mt5_simulator.server import Server
from apportion.mt5_simulator.web.application import WebFront

ADMIN_HOST = "127.0.0.1"


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
    """Port 0 is any free port. Prints one line of JSON when ready, and writes it to `ready_file`. Ends on SIGTERM."""
    front = WebFront(server)
    https = web.ServerRunner(front)
    admin = web.AppRunner(Admin(server, front).application(), access_log=None)
    stop = asyncio.Event()
    for sign in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(sign, stop.set)
    await https.setup()
    await admin.setup()
    prices = asyncio.create_task(server.keep_prices())
    try:
        await web.TCPSite(https, host, https_port, ssl_context=tls, shutdown_timeout=1, backlog=4096).start()
        await web.TCPSite(admin, ADMIN_HOST, admin_port, shutdown_timeout=1).start()
        ready = {
            "https_url": f"https://{host}:{https.addresses[0][1]}",
            "admin_url": f"http://{ADMIN_HOST}:{admin.addresses[0][1]}",
            "ca_file": str(ca_file.resolve()),
            "pid": os.getpid(),
        }
        if ready_file is not None:
            _write_whole(ready_file, json.dumps(ready))
        await _first(stop, prices)
    finally:
        prices.cancel()
        front.disconnect_all()
        await https.cleanup()
        await admin.cleanup()
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
