"""One connection to Redis or Valkey: requests go out at once, answers come back in order (automatic pipelining)."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import unquote, urlsplit

import hiredis

from apportion.errors import UpstreamUnavailable

DEFAULT_PORT = 6379
CONNECT_SECONDS = 2.0

Word = str | bytes | int
Reply = Any  # bytes, int, None or a list of replies, as the command says


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """What `redis://user:password@host:port/database` says; `rediss://` asks for TLS."""

    host: str
    port: int
    database: int
    username: str | None
    password: str | None
    tls: bool

    @classmethod
    def parse(cls, url: str) -> Self:
        parts = urlsplit(url)
        if parts.scheme not in ("redis", "rediss") or not parts.hostname:
            raise ValueError("a Redis URL looks like redis://host:6379/0 or rediss://user:password@host:6379/0")
        return cls(
            host=parts.hostname,
            port=parts.port or DEFAULT_PORT,
            database=int(parts.path.strip("/") or 0),
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=parts.scheme == "rediss",
        )


class RedisUnavailable(UpstreamUnavailable):
    """Redis cannot be reached, did not answer in time, or refused a command."""


class RedisConnection(asyncio.Protocol):
    """Answers are matched to requests by their order; with `on_push`, as after SUBSCRIBE, all of them go there.

    What is asked in one turn of the event loop leaves in one write: each costs a system call that wakes the server.
    """

    def __init__(self, answer_seconds: float | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._answer_seconds = answer_seconds
        self._waiting: deque[tuple[float, asyncio.Future[Reply]]] = deque()
        self._outgoing: list[bytes] = []
        self._watchdog: asyncio.TimerHandle | None = None
        self._on_push: Callable[[Reply], None] | None = None
        self._transport: asyncio.Transport | None = None
        self.is_open = False
        self.lost: asyncio.Future[None] = self._loop.create_future()

    @classmethod
    async def open(
        cls,
        address: RedisAddress,
        *,
        answer_seconds: float | None = None,
        on_push: Callable[[Reply], None] | None = None,
    ) -> Self:
        """Connect, authenticate, select the database. Raises RedisUnavailable.

        An answer that is not there in `answer_seconds` closes the connection: they are matched by order, so after a
        missing one nothing can be trusted.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await loop.create_connection(
                    lambda: cls(answer_seconds),
                    address.host,
                    address.port,
                    ssl=ssl.create_default_context() if address.tls else None,
                )
                try:
                    await connection._greet(address)
                except BaseException:
                    connection.close()
                    raise
        except (OSError, TimeoutError) as error:
            raise unavailable(f"cannot connect: {error!r}") from error
        connection._on_push = on_push
        return connection

    async def _greet(self, address: RedisAddress) -> None:
        greetings: list[Sequence[Word]] = []
        if address.password is not None:
            greetings.append(("AUTH", *([address.username] if address.username else []), address.password))
        if address.database:
            greetings.append(("SELECT", address.database))
        for reply in await asyncio.gather(*self.send(greetings)):
            checked(reply)

    def send(self, commands: Sequence[Sequence[Word]]) -> list[asyncio.Future[Reply]]:
        """One future per command, in their order; see `ask`."""
        return [self.ask(words) for words in commands]

    def ask(self, words: Sequence[Word]) -> asyncio.Future[Reply]:
        """A future of the reply, which may be an error as a value: see `checked`. Raises RedisUnavailable."""
        if not self.is_open:
            raise unavailable("connection lost")
        loop = self._loop
        answer: asyncio.Future[Reply] = loop.create_future()
        if self._on_push is None:
            until = loop.time() + (self._answer_seconds or 0)
            self._waiting.append((until, answer))
            if self._watchdog is None and self._answer_seconds is not None:
                self._watchdog = loop.call_at(until, self._watch)
        if not self._outgoing:
            loop.call_soon(self._flush)
        self._outgoing.append(hiredis.pack_command(tuple(words)))  # type: ignore[arg-type]
        return answer

    def close(self) -> None:
        """Callers still waiting get RedisUnavailable."""
        self._end("connection closed")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if self._waiting:
                _, answer = self._waiting.popleft()
                if not answer.done():  # its caller may have given up
                    answer.set_result(reply)
            elif self._on_push is not None:
                self._on_push(reply)

    def connection_lost(self, error: Exception | None) -> None:
        self._end("connection lost")
        if not self.lost.done():
            self.lost.set_result(None)

    def _flush(self) -> None:
        outgoing, self._outgoing = b"".join(self._outgoing), []
        if self._transport is not None and self.is_open:
            self._transport.write(outgoing)

    def _end(self, cause: str) -> None:
        self.is_open = False
        if self._watchdog is not None:
            self._watchdog.cancel()
        if self._transport is not None:
            self._transport.abort()
        while self._waiting:
            _, answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(unavailable(cause))
                answer.exception()  # a caller that was cancelled will not look

    def _watch(self) -> None:
        """One timer for all commands: the oldest one is the first that can be late."""
        self._watchdog = None
        if not self._waiting:
            return
        until, _ = self._waiting[0]
        if until <= self._loop.time():
            self._end(f"no answer in {self._answer_seconds:g} s")
        else:
            self._watchdog = self._loop.call_at(until, self._watch)


def checked(reply: Reply) -> Reply:
    """The reply, or RedisUnavailable when it is an error (LOADING, OOM, READONLY, ...)."""
    if isinstance(reply, hiredis.ReplyError):
        raise unavailable(str(reply))
    return reply


def unavailable(cause: str) -> RedisUnavailable:
    return RedisUnavailable(f"redis: {cause}", service="redis")
