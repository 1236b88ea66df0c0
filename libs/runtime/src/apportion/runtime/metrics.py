"""The operations endpoint: Prometheus metrics and HTTP probes, in a thread of its own."""

from __future__ import annotations

import asyncio
import socketserver
import threading
import time
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

BEAT_SECONDS = 1.0
STALLED_AFTER_SECONDS = 10.0


class OperationsEndpoint:
    """Serves `/metrics`, `/live` (the event loop turns) and `/ready` (started and not draining).

    Liveness depends on nothing outside the process: a database that is down must not get us killed.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.ready = False
        self._beat_at = time.monotonic()
        self._metrics: WSGIApplication = make_wsgi_app()
        self._server = make_server(host, int(port), self._answer, _ThreadingServer, _QuietHandler)
        self._thread = threading.Thread(target=self._server.serve_forever, name="operations", daemon=True)
        self._pulse: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """host:port really bound."""
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    async def __aenter__(self) -> Self:
        self._thread.start()
        self._pulse = asyncio.create_task(self._keep_beating(), name="liveness")
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()

    async def _keep_beating(self) -> None:
        while True:
            self._beat_at = time.monotonic()
            await asyncio.sleep(BEAT_SECONDS)

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/metrics":
                return self._metrics(environ, start_response)
            case "/live":
                good = time.monotonic() - self._beat_at < STALLED_AFTER_SECONDS
            case "/ready":
                good = self.ready
            case _:
                start_response("404 Not Found", [("Content-Type", "text/plain")])
                return [b"not found\n"]
        start_response("200 OK" if good else "503 Service Unavailable", [("Content-Type", "text/plain")])
        return [b"ok\n" if good else b"no\n"]


class _ThreadingServer(socketserver.ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (name of the parent's parameter)
        """Probes and scrapes are not news."""
