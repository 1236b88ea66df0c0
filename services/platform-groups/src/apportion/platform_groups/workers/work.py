"""Shares the trading servers among all workers: who writes to which shard, who pumps which server."""

from __future__ import annotations

import asyncio

import structlog

from apportion.errors import DomainError
from apportion.platform_groups.domain.shards import SHARD_COUNT, lease_key, server_of_key
from apportion.platform_groups.storage.trading_servers import list_server_ids
from apportion.platform_groups.workers.connector import Connector, ConnectorNeeds
from apportion.platform_groups.workers.egress import EgressNeeds, ServerEgress
from apportion.runtime import Background
from apportion.storage import transaction
from apportion.storage.leases import Lease, LeaseKeeper

log = structlog.get_logger()

EGRESS = "egress"
CONNECTOR = "connector"
SERVERS_SECONDS = 0.5


class Work:
    """One per process. New servers are found within half a second and taken at once."""

    def __init__(self, egress: EgressNeeds, connector: ConnectorNeeds, *, owner: str, lease_seconds: float) -> None:
        """`owner` names this start of the process."""
        self._engine = egress.engine
        self._egress_needs = egress
        self._connector_needs = connector
        self._egresses: dict[int, ServerEgress] = {}
        self._connectors: dict[str, Connector] = {}
        self._server_ids: list[int] = []
        self._shards = LeaseKeeper(
            self._engine,
            EGRESS,
            [],
            owner,
            clock=egress.clock,
            ttl_seconds=lease_seconds,
            on_acquire=self._take_shard,
            on_release=self._give_shard,
        )
        self._pumps = LeaseKeeper(
            self._engine,
            CONNECTOR,
            [],
            owner,
            clock=egress.clock,
            ttl_seconds=lease_seconds,
            on_acquire=self._take_pump,
            on_release=self._give_pump,
        )

    async def run(self) -> None:
        """For ever. At the end the keepers go first: they end the work of each key and hand it over at once."""
        try:
            await self._find_servers()
            async with Background() as background:
                background.spawn("shards", self._shards.run)
                background.spawn("pumps", self._pumps.run)
                await background.spawn("servers", self._follow_servers)
        finally:
            while self._egresses:
                _server_id, egress = self._egresses.popitem()
                await egress.stop()

    def ring(self, trading_server_id: int) -> None:
        """There may be new work for a server."""
        egress = self._egresses.get(trading_server_id)
        if egress is not None:
            egress.ring()

    async def _follow_servers(self) -> None:
        while True:
            await asyncio.sleep(SERVERS_SECONDS)
            await self._find_servers()

    async def _find_servers(self) -> None:
        """A server takes part as soon as its credentials can be opened; one that is broken stays out and is retried."""
        async with transaction(self._engine) as tx:
            server_ids = await list_server_ids(tx)
        for server_id in server_ids:
            if server_id in self._egresses:
                continue
            egress = ServerEgress(self._egress_needs, server_id, self._shards.valid)
            try:
                await egress.start()
            except DomainError as error:
                log.error("trading_server_unusable", trading_server_id=server_id, cause=str(error))
                continue
            self._egresses[server_id] = egress
        usable = sorted(self._egresses)
        if usable != self._server_ids:
            self._server_ids = usable
            self._shards.replace_keys([lease_key(id_, shard) for id_ in usable for shard in range(SHARD_COUNT)])
            self._pumps.replace_keys([str(id_) for id_ in usable])

    async def _take_shard(self, lease: Lease) -> None:
        await self._egresses[server_of_key(lease.key)].acquire(lease)

    async def _give_shard(self, lease: Lease) -> None:
        await self._egresses[server_of_key(lease.key)].release(lease)

    async def _take_pump(self, lease: Lease) -> None:
        connector = Connector(self._connector_needs, server_of_key(lease.key), lease)
        self._connectors[lease.key] = connector
        await connector.start()

    async def _give_pump(self, lease: Lease) -> None:
        connector = self._connectors.pop(lease.key, None)
        if connector is not None:
            await connector.stop()
