"""One connection to Redis that carries the commands of all callers.

Whatever is asked in one turn of the event loop leaves in one write, and answers come back in order. Against a pooled
client this saves the wake-ups and most of the Python of each command: the gateway needs one command per sign-in.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import deque
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import hiredis

from apportion.errors import UpstreamUnavailable

ANSWER_SECONDS = 1.0
CONNECT_SECONDS = 1.0
Argument = str | bytes | int


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script, known to the server by its SHA-1."""

    source: str
    sha1: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha1", hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest())


class RedisUnavailable(UpstreamUnavailable):
    """Redis cannot be reached or did not answer in time."""


class RedisLink:
    """Connects when first needed and again after a failure. Commands must be harmless when repeated or lost."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._connecting = asyncio.Lock()
        self._connection: _Connection | None = None

    async def call(self, *command: Argument) -> Any:
        """Run one command. Raises RedisUnavailable, and hiredis.ReplyError when the server refuses the command."""
        connection = self._connection
        if connection is None or connection.lost:
            connection = await self._connect()
        reply = await connection.send(command)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply

    async def run(self, script: Script, keys: list[str], *arguments: Argument) -> Any:
        """Run a script; its source is sent only when the server does not know it."""
        try:
            return await self.call("EVALSHA", script.sha1, len(keys), *keys, *arguments)
        except hiredis.ReplyError as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        return await self.call("EVAL", script.source, len(keys), *keys, *arguments)

    def close(self) -> None:
        """Drop the connection; callers still waiting get RedisUnavailable."""
        if self._connection is not None:
            self._connection.drop()

    async def _connect(self) -> _Connection:
        async with self._connecting:
            if self._connection is not None and not self._connection.lost:
                return self._connection
            loop = asyncio.get_running_loop()
            tls = ssl.create_default_context() if self._url.scheme == "rediss" else None
            host, port = self._url.hostname or "127.0.0.1", self._url.port or 6379
            try:
                async with asyncio.timeout(CONNECT_SECONDS):
                    _transport, connection = await loop.create_connection(_Connection, host, port, ssl=tls)
                    for command in self._greeting():
                        if isinstance(await connection.send(command), hiredis.ReplyError):
                            connection.drop()
                            raise RedisUnavailable("redis refused the login or the database number")
            except (OSError, TimeoutError) as error:
                raise RedisUnavailable from error
            self._connection = connection
            return connection

    def _greeting(self) -> list[tuple[str, ...]]:
        commands: list[tuple[str, ...]] = []
        if self._url.password:
            user = (unquote(self._url.username),) if self._url.username else ()
            commands.append(("AUTH", *user, unquote(self._url.password)))
        if database := self._url.path.lstrip("/"):
            commands.append(("SELECT", database))
        return commands


class _Connection(asyncio.Protocol):
    """Commands out in the order they came, answers to the futures in the same order."""

    def __init__(self) -> None:
        self.lost = False
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[float, asyncio.Future[Any]]] = deque()
        self._outgoing: list[bytes] = []
        self._watchdog: asyncio.TimerHandle | None = None

    def send(self, command: tuple[Any, ...]) -> asyncio.Future[Any]:
        """A future of the reply; a refusal by the server is a ReplyError as value."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self.lost:
            future.set_exception(RedisUnavailable())
            return future
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(hiredis.pack_command(command))
        self._waiting.append((self._loop.time() + ANSWER_SECONDS, future))
        if self._watchdog is None:
            self._watchdog = self._loop.call_later(ANSWER_SECONDS, self._watch)
        return future

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while self._waiting and (reply := self._reader.gets()) is not False:
            _until, future = self._waiting.popleft()
            if not future.done():  # the caller may have given up
                future.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        self.drop()

    def drop(self) -> None:
        self.lost = True
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            _until, future = self._waiting.popleft()
            if not future.done():
                future.set_exception(RedisUnavailable())

    def _flush(self) -> None:
        outgoing, self._outgoing = b"".join(self._outgoing), []
        if self._transport is not None and not self.lost:
            self._transport.write(outgoing)

    def _watch(self) -> None:
        """One timer for all commands: the oldest one is the first that can be late."""
        self._watchdog = None
        if not self._waiting:
            return
        until = self._waiting[0][0]
        if until <= self._loop.time():
            self.drop()
        else:
            self._watchdog = self._loop.call_at(until, self._watch)
