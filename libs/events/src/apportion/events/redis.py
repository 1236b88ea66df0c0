"""`Redis`, the thin client that the event path uses: one shared pipelined connection, more for what blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from apportion.events.redis_connection import RedisAddress, RedisConnection, Reply, Word, checked, unavailable

COMMAND_SECONDS = 2.0


class Redis:
    """A client of one server, made from a URL; connects on first use and again after a loss.

    Commands of concurrent callers share one connection and do not wait for each other's answers. A command is
    never repeated by the client: a lost answer is UpstreamUnavailable, and the caller knows whether to repeat.
    """

    def __init__(self, url: str) -> None:
        self._address = RedisAddress.parse(url)
        self._shared: RedisConnection | None = None
        self._connecting = asyncio.Lock()

    async def command(self, *words: Word) -> Reply:
        """The reply to one command: bytes, int, None or a list. Raises UpstreamUnavailable."""
        return (await self.commands([words]))[0]

    async def commands(self, commands: Sequence[Sequence[Word]]) -> list[Reply]:
        """The replies to several commands sent in one write; not atomic. Raises UpstreamUnavailable."""
        connection = await self._connected()
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                return [checked(await answer) for answer in connection.send(commands)]
        except TimeoutError as error:
            connection.close()  # answers are matched by order: after a missing one nothing can be trusted
            raise unavailable(f"no answer in {COMMAND_SECONDS:g} s") from error

    async def connect(self, on_push: Callable[[Reply], None] | None = None) -> RedisConnection:
        """A connection of the caller's own, for blocking reads or a subscription; the caller closes it."""
        return await RedisConnection.open(self._address, on_push)

    async def ping(self) -> None:
        """Raises UpstreamUnavailable when the server does not answer."""
        await self.command("PING")

    async def close(self) -> None:
        if self._shared is not None:
            self._shared.close()
            await self._shared.lost
            self._shared = None

    async def _connected(self) -> RedisConnection:
        if self._shared is not None and self._shared.is_open:
            return self._shared
        async with self._connecting:
            if self._shared is None or not self._shared.is_open:
                self._shared = await RedisConnection.open(self._address)
            return self._shared
