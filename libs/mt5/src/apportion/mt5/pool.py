"""A few logged-in connections of one manager to one server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

from apportion.mt5.connection import Connection, Permit, Values
from apportion.mt5.endpoint import Endpoint
from apportion.mt5.reply import Reply


class Pool:
    """Lends a free connection to each call; the last one used first, so that idle ones stay idle."""

    def __init__(self, endpoint: Endpoint, size: int) -> None:
        self.endpoint = endpoint
        self._connections = [Connection(endpoint) for _ in range(size)]
        self._free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for connection in reversed(self._connections):
            self._free.put_nowait(connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()

    async def call(
        self,
        command: str,
        query: Values | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        write: bool = False,
        permit: Permit | None = None,
    ) -> Reply:
        """As `Connection.call`, on the next free connection."""
        async with self.dedicated() as connection:
            return await connection.call(command, query, body, write=write, permit=permit)

    @asynccontextmanager
    async def dedicated(self) -> AsyncIterator[Connection]:
        """A connection for the length of the block: a dealer request and its result share one."""
        connection = await self._free.get()
        try:
            yield connection
        finally:
            self._free.put_nowait(connection)

    async def close(self) -> None:
        """End all sessions."""
        await asyncio.gather(*(connection.close() for connection in self._connections))
