"""One HTTP connection: slow and too many ones are cut, parse errors get one fixed answer, nothing is echoed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import structlog
from aiohttp import web

from apportion.auth_gateway.domain.addresses import Network, in_networks
from apportion.auth_gateway.web.reply import PLAIN, Reply

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """`head_seconds` from the last answer to the next request's last header: slow clients and idle ones are one."""

    head_seconds: float = 5.0
    per_address: int = 200
    proxies: tuple[Network, ...] = ()


@dataclass(slots=True)
class ConnectionGate:
    """Open connections by address; those of our own proxies carry everybody and are not counted."""

    limits: ConnectionLimits
    counts: Counter[str] = field(default_factory=Counter)

    def enter(self, address: str) -> bool:
        """Count one more; False when it is one too many."""
        if in_networks(address, self.limits.proxies):
            return True
        self.counts[address] += 1
        return self.counts[address] <= self.limits.per_address

    def leave(self, address: str) -> None:
        if self.counts[address] > 1:
            self.counts[address] -= 1
        else:
            self.counts.pop(address, None)


class Connection(web.RequestHandler):
    """aiohttp's protocol; its keep-alive timer also cuts clients whose headers do not arrive."""

    __slots__ = ("_address", "_gate")

    def __init__(
        self, server: web.Server, gate: ConnectionGate, loop: asyncio.AbstractEventLoop, **kwargs: Any
    ) -> None:
        super().__init__(server, loop=loop, **kwargs)
        self._gate = gate
        self._address: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        peer = transport.get_extra_info("peername")
        self._address = peer[0] if peer else ""
        if not self._gate.enter(self._address):
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        if self._address is not None:
            self._gate.leave(self._address)
            self._address = None
        super().connection_lost(exc)

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Only after a pause. aiohttp asks for this twice a request, and would feed its parser nothing each time."""
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What the HTTP parser refused, or a bug of ours. The exception's text may quote the input: never log it."""
        if status >= 500:
            log.error("request_failed", error=type(exc).__name__)
        body = b"internal error" if status >= 500 else b"bad request"
        return cast("web.StreamResponse", Reply(status, body, content_type=PLAIN, last=True))


class GatewayServer(web.Server):
    """Makes our connections. Low-level on purpose: two paths need no router, and a router costs a tenth of the time."""

    def __init__(self, handler: Callable[[web.BaseRequest], Awaitable[Reply]], limits: ConnectionLimits) -> None:
        self._gate = ConnectionGate(limits)
        self._running_loop = asyncio.get_running_loop()
        self._options: dict[str, Any] = {
            "keepalive_timeout": limits.head_seconds,
            "access_log": None,
            "max_line_size": 8190,
            "max_field_size": 8190,
            "max_headers": 100,
            "lingering_time": 1.0,
            "auto_decompress": False,
        }
        super().__init__(cast("Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]", handler))

    def __call__(self) -> Connection:
        return Connection(self, self._gate, self._running_loop, **self._options)
