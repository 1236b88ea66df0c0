"""A service that has been put together: what it serves and the loops it runs, started and stopped in one order."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from apportion.runtime.background import Background

Loops = Mapping[str, Callable[[], Awaitable[object]]]
"""By name: what runs for ever under supervision."""


class Server(Protocol):
    """What answers calls: gRPC or HTTP."""

    async def start(self) -> str:
        """Listen; returns host:port really bound."""
        ...

    async def drain(self, grace_seconds: float, /) -> None:
        """Take no new calls and give those in flight this long. Does nothing when it was not started."""
        ...


class ServiceApp:
    """Starts the loops in their order, then the server; stops the server first, then the loops, the latest first.

    A loop that others depend on comes before them: leases outlive the work they cover.
    """

    def __init__(self, background: Background, *, server: Server | None, loops: Loops, drain_seconds: float) -> None:
        self._background = background
        self._server = server
        self._loops = loops
        self._drain_seconds = drain_seconds
        self._address: str | None = None

    async def start(self) -> None:
        """Begin to serve and work; when it returns the service is ready."""
        for name, run in self._loops.items():
            self._background.spawn(name, run)
        if self._server is not None:
            self._address = await self._server.start()

    async def stop(self) -> None:
        """Take no new work and finish what is in flight; also after a start that failed or was cut short."""
        if self._server is not None:
            await self._server.drain(self._drain_seconds)
        await self._background.stop()

    def address(self) -> str | None:
        """host:port that is served, if any."""
        return self._address
