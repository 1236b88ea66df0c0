"""A loop for each trading server, run by one of all workers: reports are work for the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.storage.deviations import list_watched_servers
from apportion.runtime import Background, Clock
from apportion.storage import transaction
from apportion.storage.leases import Lease, LeaseKeeper

log = structlog.get_logger()

SERVERS_SECONDS = 5.0

Step = Callable[[Lease], Awaitable[float]]


def server_of(lease: Lease) -> tuple[int, int]:
    """(label, trading server)."""
    label, trading_server_id = map(int, lease.key.split("/"))
    return label, trading_server_id


async def _nothing(_lease: Lease) -> None:
    """For work that leaves nothing behind."""


class ServerLoops:
    """A loop for each trading server on which masters trade. A lease gives each to one worker; a slow server delays no
    other.

    `step` does the work of a server once and returns the pause until the next time, in seconds.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        kind: str,
        owner: str,
        clock: Clock,
        step: Step,
        *,
        retry_seconds: float,
        ttl_seconds: float = 10.0,
        on_end: Callable[[Lease], Awaitable[None]] = _nothing,
    ) -> None:
        self._engine = engine
        self._kind = kind
        self._step = step
        self._retry_seconds = retry_seconds
        self._on_end = on_end
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._keeper = LeaseKeeper(
            engine,
            kind,
            [],
            owner,
            clock=clock,
            ttl_seconds=ttl_seconds,
            on_acquire=self._begin,
            on_release=self._end,
        )

    async def run(self) -> None:
        async with Background() as background:
            await self._find_servers()
            background.spawn(f"{self._kind}_leases", self._keeper.run)
            await background.spawn(f"{self._kind}_servers", self._follow_servers)

    async def _follow_servers(self) -> None:
        while True:
            await asyncio.sleep(SERVERS_SECONDS)
            await self._find_servers()

    async def _find_servers(self) -> None:
        async with transaction(self._engine) as tx:
            servers = await list_watched_servers(tx)
        self._keeper.replace_keys([f"{label}/{trading_server_id}" for label, trading_server_id in servers])

    async def _begin(self, lease: Lease) -> None:
        self._loops[lease.key] = asyncio.create_task(self._repeat(lease), name=f"{self._kind}_{lease.key}")

    async def _end(self, lease: Lease) -> None:
        loop = self._loops.pop(lease.key)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await self._on_end(lease)

    async def _repeat(self, lease: Lease) -> None:
        while True:
            try:
                pause_seconds = await self._step(lease)
            except Exception:
                log.exception("server_loop_failed", kind=self._kind, server=lease.key)
                pause_seconds = self._retry_seconds
            await asyncio.sleep(pause_seconds)
