"""Keeps a watch on every trading server of the shards that this worker holds."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TypeAlias

from apportion.risk.storage.limits import list_trading_servers
from apportion.risk.workers.server_watch import ServerWatch, WatchWork
from apportion.risk.workers.shards import SHARDS, held_shards, shard_of
from apportion.runtime import Background
from apportion.storage import transaction
from apportion.storage.leases import Lease, LeaseKeeper

Wanted: TypeAlias = tuple[int, Lease]
"""The label that a trading server belongs to, and the lease of its shard."""


class Watcher:
    """Starts a watch when a server gets its first limit or its shard becomes ours, ends it when the shard is lost."""

    def __init__(self, work: WatchWork, keeper: LeaseKeeper) -> None:
        self._work = work
        self._keeper = keeper
        self._watches: dict[int, tuple[Wanted, Background]] = {}

    async def run(self) -> None:
        """For ever; cancelled, it ends all watches."""
        try:
            while True:
                held = held_shards(self._keeper)
                async with transaction(self._work.engine) as tx:
                    servers = await list_trading_servers(tx, SHARDS, sorted(held))
                await self._follow({server: (label, held[shard_of(server)]) for server, label in servers.items()})
                await asyncio.sleep(self._work.reload_seconds)
        finally:
            await self._follow({})

    async def _follow(self, wanted: Mapping[int, Wanted]) -> None:
        for server, (watched, background) in list(self._watches.items()):
            if wanted.get(server) != watched:
                del self._watches[server]
                self._work.server_days.pop(server, None)
                await background.stop()
        for server, (label, lease) in wanted.items():
            if server not in self._watches:
                background = Background()
                background.spawn(f"watch_{server}", ServerWatch(self._work, label, server, lease).run)
                self._watches[server] = ((label, lease), background)
