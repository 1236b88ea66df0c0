"""All trading servers by id: pools of logged-in connections, opened when first needed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.mt5 import Connection, Endpoint, Pool
from apportion.platform_groups.adapters.mt5_dealer import Mt5Dealer
from apportion.platform_groups.adapters.mt5_server import Mt5Server
from apportion.platform_groups.operations.ports import HostsPort, VaultPort
from apportion.platform_groups.operations.register_trading_server import PASSWORD_FIELD, TABLE
from apportion.platform_groups.storage.trading_servers import load_sealed
from apportion.storage import transaction

PUMP_CONNECTIONS = 4
"""Deals, account states, ticks and stops are read side by side."""
RESERVED_CONNECTIONS = 3
"""One may be busy with the states of all accounts, the others with closings and rights."""


class TradingServers:
    """Implements TradingServersPort. Every new pool checks the host again and opens the credentials afresh."""

    def __init__(
        self,
        engine: AsyncEngine,
        vault: VaultPort,
        hosts: HostsPort,
        *,
        connections: int,
        timeout_seconds: float,
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._hosts = hosts
        self._connections = connections
        self._timeout_seconds = timeout_seconds
        self._shared: dict[int, Mt5Server] = {}
        self._reserved: dict[int, Mt5Server] = {}
        self._opening = asyncio.Lock()
        self._closing: list[Pool | Connection] = []

    async def get(self, trading_server_id: int) -> Mt5Server:
        return await self._pooled(trading_server_id, self._shared, self._connections)

    async def reserved(self, trading_server_id: int) -> Mt5Server:
        return await self._pooled(trading_server_id, self._reserved, RESERVED_CONNECTIONS)

    async def _pooled(self, trading_server_id: int, opened: dict[int, Mt5Server], connections: int) -> Mt5Server:
        """Who is open already waits for no other server that is just being looked up."""
        if trading_server_id not in opened:
            async with self._opening:
                if trading_server_id not in opened:
                    pool = Pool(await self._endpoint(trading_server_id), connections)
                    self._closing.append(pool)
                    opened[trading_server_id] = Mt5Server(pool)
        return opened[trading_server_id]

    @asynccontextmanager
    async def pump(self, trading_server_id: int) -> AsyncIterator[Mt5Server]:
        async with Pool(await self._endpoint(trading_server_id), PUMP_CONNECTIONS) as pool:
            yield Mt5Server(pool)

    async def dealer(self, trading_server_id: int) -> Mt5Dealer:
        connection = Connection(await self._endpoint(trading_server_id))
        self._closing.append(connection)
        return Mt5Dealer(connection, patience_seconds=self._timeout_seconds)

    async def close(self) -> None:
        """Ends all sessions."""
        self._shared.clear()
        self._reserved.clear()
        await asyncio.gather(*(each.close() for each in self._closing))
        self._closing.clear()

    async def _endpoint(self, trading_server_id: int) -> Endpoint:
        async with transaction(self._engine) as tx:
            sealed = await load_sealed(tx, trading_server_id)
        server = sealed.server
        await self._hosts.check(server.host)
        password = self._vault.open(
            sealed.manager_password_sealed,
            table=TABLE,
            label=server.label,
            row_id=trading_server_id,
            field=PASSWORD_FIELD,
        )
        return Endpoint(
            base_url=f"https://{_bracketed(server.host)}:{server.port}",
            manager_login=server.manager_login,
            manager_password=password,
            ca_pem=sealed.ca_certificate_pem or None,
            timeout_seconds=self._timeout_seconds,
            permits=self._hosts.permits,
        )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
