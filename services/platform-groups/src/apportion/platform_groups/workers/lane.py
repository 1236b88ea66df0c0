"""What the loops of one trading server have in common: woken by a ring, paused when a shard is given up."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.server_facts import ServerFailure
from apportion.platform_groups.operations.ports import NewId
from apportion.platform_groups.workers.held_shards import HeldShards
from apportion.platform_groups.workers.server_clock import ServerClock
from apportion.runtime import Clock
from apportion.storage.leases import Lease

log = structlog.get_logger()

LOOK_SECONDS = 0.25
"""How often the table is looked at without a ring: for retries, and for lost notifications."""


class Lane(ABC):
    """A loop that looks for work when it is rung for, and by itself now and then."""

    def __init__(self) -> None:
        self._bell = asyncio.Event()
        self._turn = asyncio.Lock()
        """Held by those who write to the server, while they take work and put it on the wire."""

    def ring(self) -> None:
        """There may be new work."""
        self._bell.set()

    async def pause(self) -> None:
        """Returns when nothing that was taken before is still to be put on the wire."""
        async with self._turn:
            return

    @abstractmethod
    async def run(self) -> None:
        """For ever."""

    async def _rest(self, seconds: float = LOOK_SECONDS) -> None:
        """Until the bell rings, and no longer than this."""
        try:
            async with asyncio.timeout(seconds):
                await self._bell.wait()
        except TimeoutError:
            return


class SendingLane(Lane):
    """A lane whose work is marked SENDING before it is sent. `shards` are its own alone: what is for one account goes
    out in order."""

    def __init__(
        self, engine: AsyncEngine, shards: HeldShards, server_clock: ServerClock, clock: Clock, new_id: NewId
    ) -> None:
        super().__init__()
        self._engine = engine
        self._shards = shards
        self._server_clock = server_clock
        self._clock = clock
        self._new_id = new_id

    async def run(self) -> None:
        """For ever. What an earlier run took and did not finish is UNKNOWN.

        Its answers go first: once the work is sent anew, they would be taken for answers to that sending.
        """
        await self._save()
        for lease in self._shards.leases():
            await self._adopt(lease)
        await self._work()

    @abstractmethod
    async def _save(self) -> None:
        """Saves the answers at hand."""

    @abstractmethod
    async def _adopt(self, lease: Lease) -> None:
        """What was left SENDING in the lease's shard is UNKNOWN."""

    @abstractmethod
    async def _work(self) -> None:
        """Takes, sends and saves for ever."""

    async def _server_time_ms(self) -> int | None:
        """None: the server has never told its time, so nothing may be sent whose answer could be lost."""
        try:
            return await self._server_clock.known_ms()
        except ServerFailure as error:
            log.warning("lane_waits_for_server", trading_server_id=self._shards.server_id, cause=str(error))
            return None
