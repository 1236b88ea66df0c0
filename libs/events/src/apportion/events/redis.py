"""`Redis`, the one client of all services: a shared pipelined connection, and more for what blocks."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import hiredis

from apportion.events.redis_connection import RedisAddress, RedisConnection, Reply, Word, checked

ANSWER_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, known to the server by its SHA-1."""

    source: str
    sha1: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha1", hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest())


class Redis:
    """A client of one server, made from a URL; connects on first use and again after a loss.

    Commands of concurrent callers share one connection and do not wait for each other's answers. A command is never
    repeated by the client: a lost answer is RedisUnavailable after `answer_seconds` at most, and the caller knows
    whether to repeat. So is a refusal (LOADING, OOM, READONLY, a wrong type): Redis did not do what it was asked.
    """

    def __init__(self, url: str, *, answer_seconds: float = ANSWER_SECONDS) -> None:
        self._address = RedisAddress.parse(url)
        self._answer_seconds = answer_seconds
        self._shared: RedisConnection | None = None
        self._connecting = asyncio.Lock()

    async def command(self, *words: Word) -> Reply:
        """The reply to one command: bytes, int, None or a list. Raises RedisUnavailable."""
        shared = self._shared
        if shared is None or not shared.is_open:
            shared = await self._connected()
        return checked(await shared.ask(words))

    async def commands(self, commands: Sequence[Sequence[Word]]) -> list[Reply]:
        """The replies to several commands sent in one write; not atomic. Raises RedisUnavailable."""
        connection = await self._connected()
        return [checked(await answer) for answer in connection.send(commands)]

    async def run_script(self, script: Script, keys: Sequence[str], *arguments: Word) -> Reply:
        """The reply of a script; its source is sent only when the server does not know it. Raises RedisUnavailable."""
        shared = self._shared
        if shared is None or not shared.is_open:
            shared = await self._connected()
        reply = await shared.ask(("EVALSHA", script.sha1, len(keys), *keys, *arguments))
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            reply = await shared.ask(("EVAL", script.source, len(keys), *keys, *arguments))
        return checked(reply)

    async def connect(
        self, on_push: Callable[[Reply], None] | None = None, *, answer_seconds: float | None = None
    ) -> RedisConnection:
        """A connection of the caller's own, for blocking reads or a subscription; the caller closes it."""
        return await RedisConnection.open(self._address, answer_seconds=answer_seconds, on_push=on_push)

    async def ping(self) -> None:
        """Raises RedisUnavailable when the server does not answer."""
        await self.command("PING")

    async def close(self) -> None:
        """Drop the shared connection; callers still waiting get RedisUnavailable."""
        if self._shared is not None:
            self._shared.close()
            await self._shared.lost
            self._shared = None

    async def _connected(self) -> RedisConnection:
        if self._shared is not None and self._shared.is_open:
            return self._shared
        async with self._connecting:
            if self._shared is None or not self._shared.is_open:
                self._shared = await RedisConnection.open(self._address, answer_seconds=self._answer_seconds)
            return self._shared
