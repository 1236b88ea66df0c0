"""One logged-in TCP connection to a trading server; one request in flight at a time."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import socket
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import aiohttp
import msgspec
import structlog
from aiohttp import AddrInfoType

from apportion.mt5 import handshake
from apportion.mt5.endpoint import WEB_API_VERSION, Endpoint
from apportion.mt5.errors import (
    ConnectionLost,
    LoginRefused,
    Mt5Error,
    NotSent,
    OutcomeUnknown,
    Refused,
    ServerNotGenuine,
    UnexpectedReply,
)
from apportion.mt5.reply import Reply, decode, parse_reply
from apportion.mt5.retcodes import DOUBTFUL, Retcode, retcode_name

log = structlog.get_logger()

HTTP_FORBIDDEN = 403
MILLISECONDS = 1_000
FIRST_BACK_OFF_SECONDS = 0.1
LONGEST_BACK_OFF_SECONDS = 10.0
KEEP_ALIVE_SECONDS = 170.0
"""The server closes a silent connection after 180 s."""

Values = Mapping[str, str | int]
Permit = Callable[[], bool]
"""Whether a write may still go out."""


class Caller(Protocol):
    """What the typed reads and writes need: a connection, or a pool that lends one."""

    async def call(
        self,
        command: str,
        query: Values | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        write: bool = False,
        permit: Permit | None = None,
    ) -> Reply: ...


class _Challenge(msgspec.Struct):
    srv_rand: str


class _Proof(msgspec.Struct):
    cli_rand_answer: str


class Connection:
    """Logs in when first used and again whenever the server forgot us; close it with `close()`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._hash = handshake.password_hash(endpoint.manager_password)
        self._ssl = endpoint.ssl_context()
        self._lock = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
        self._ping: asyncio.Task[None] | None = None
        self._last_call = 0.0
        self._failures = 0
        self._not_before = 0.0
        self.generation = 0
        """Counts logins: a dealer request's result can only be read on the login that sent it."""

    async def call(
        self,
        command: str,
        query: Values | None = None,
        body: Mapping[str, Any] | None = None,
        *,
        write: bool = False,
        permit: Permit | None = None,
    ) -> Reply:
        """Run one command and return its reply of retcode 0.

        A read is repeated once on a fresh login. A write is not: it raises NotSent when it certainly did not run and
        OutcomeUnknown when that cannot be said, as by a DOUBTFUL retcode. `permit` is asked after all waiting, right
        before the write. Raises Refused for any other retcode.
        """
        async with self._lock:
            reply = await (self._write(command, query, body, permit) if write else self._read(command, query, body))
        if write and reply.code in DOUBTFUL:
            raise OutcomeUnknown(f"{command}: {retcode_name(reply.code)}")
        if reply.code != Retcode.DONE:
            raise Refused(command, reply.code)
        return reply

    async def close(self) -> None:
        """End the session; the connection may be used again and then logs in anew."""
        if self._ping is not None:
            self._ping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ping
            self._ping = None
        async with self._lock:
            await self._drop()

    async def _read(self, command: str, query: Values | None, body: Mapping[str, Any] | None) -> Reply:
        for last in (False, True):
            session = await self._logged_in()
            try:
                return await self._request(session, command, query, body)
            except (aiohttp.ClientError, TimeoutError, NotSent, UnexpectedReply) as error:
                await self._drop()
                if last:
                    raise ConnectionLost(f"{command}: {type(error).__name__}") from error
            except BaseException:  # cancelled half-way: what is left in the socket belongs to nobody
                await self._drop()
                raise
        raise AssertionError("unreachable")

    async def _write(
        self, command: str, query: Values | None, body: Mapping[str, Any] | None, permit: Permit | None
    ) -> Reply:
        session = await self._logged_in()
        if permit is not None and not permit():
            raise NotSent(f"{command}: no longer permitted")
        try:
            return await self._request(session, command, query, body)
        except (NotSent, aiohttp.ClientConnectorError) as error:
            await self._drop()
            raise NotSent(f"{command}: {type(error).__name__}") from error
        except (aiohttp.ClientError, TimeoutError, UnexpectedReply) as error:
            await self._drop()
            raise OutcomeUnknown(f"{command}: {type(error).__name__}") from error
        except BaseException:
            await self._drop()
            raise

    async def _request(
        self,
        session: aiohttp.ClientSession,
        command: str,
        query: Values | None,
        body: Mapping[str, Any] | None,
    ) -> Reply:
        url = f"{self.endpoint.base_url}/api/{command}"
        data = None if body is None else msgspec.json.encode(body)
        # POST, which every command takes: aiohttp would repeat a GET by itself, on a connection without login.
        # No redirects: they would carry a write, and the secrets in it, to a host that nobody has checked.
        async with session.post(url, params=query, data=data, allow_redirects=False) as response:
            content = await response.read()
        self._last_call = asyncio.get_running_loop().time()
        if response.status == HTTP_FORBIDDEN:
            raise NotSent(f"{command}: not logged in")
        if response.status != 200:
            raise UnexpectedReply(f"{command}: HTTP {response.status}")
        return parse_reply(content)

    async def _logged_in(self) -> aiohttp.ClientSession:
        if self._session is not None:
            return self._session
        loop = asyncio.get_running_loop()
        if loop.time() < self._not_before:
            raise NotSent("waiting before the next login")
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=1, ssl=self._ssl, keepalive_timeout=KEEP_ALIVE_SECONDS, socket_factory=self._socket
            ),
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            timeout=aiohttp.ClientTimeout(total=self.endpoint.timeout_seconds),
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )
        try:
            await self._log_in(session)
        except BaseException as error:
            await session.close()
            self._failures += 1
            delay = min(FIRST_BACK_OFF_SECONDS * 2 ** min(self._failures - 1, 10), LONGEST_BACK_OFF_SECONDS)
            self._not_before = loop.time() + delay * random.uniform(0.5, 1.0)  # noqa: S311  # spreads reconnects
            if isinstance(error, aiohttp.ClientError | TimeoutError | UnexpectedReply):
                raise NotSent(f"login: {type(error).__name__}") from error
            raise
        self._failures = 0
        self._session = session
        self.generation += 1
        if self._ping is None:
            self._ping = asyncio.create_task(self._keep_alive(), name=f"mt5-ping-{self.endpoint.base_url}")
        return session

    def _socket(self, address: AddrInfoType) -> socket.socket:
        """The system gives up what the server has not acknowledged when we do.

        Otherwise a write that we took for lost in a broken network could still be delivered minutes later. Raises
        OSError for an address that is not permitted.
        """
        family, kind, protocol, _, (host, *_) = address
        if not self.endpoint.permits(str(host)):
            raise OSError(f"{host} is not permitted")
        made = socket.socket(family, kind, protocol)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            made.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self.endpoint.timeout_seconds * MILLISECONDS)
            )
        return made

    async def _log_in(self, session: aiohttp.ClientSession) -> None:
        start: dict[str, str | int] = {
            "version": WEB_API_VERSION,
            "agent": self.endpoint.agent,
            "login": self.endpoint.manager_login,
            "type": "manager",
        }
        challenge = decode((await self._auth(session, "auth/start", start)).raw, _Challenge)
        ours = secrets.token_bytes(16).hex()
        proof_query = {"srv_rand_answer": handshake.answer(self._hash, challenge.srv_rand), "cli_rand": ours}
        proof = decode((await self._auth(session, "auth/answer", proof_query)).raw, _Proof)
        if not handshake.is_genuine(self._hash, ours, proof.cli_rand_answer):
            raise ServerNotGenuine(self.endpoint.base_url)

    async def _auth(self, session: aiohttp.ClientSession, command: str, query: Values) -> Reply:
        try:
            reply = await self._request(session, command, query, None)
        except NotSent as error:
            raise LoginRefused(f"{command}: HTTP 403") from error
        if reply.code != Retcode.DONE:
            raise LoginRefused(f"{command}: {reply.retcode}")
        return reply

    async def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _keep_alive(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.endpoint.ping_seconds)
            if self._session is None or loop.time() - self._last_call < self.endpoint.ping_seconds:
                continue
            try:
                await self.call("test/access")
            except Mt5Error as error:
                log.warning("mt5_ping_failed", server=self.endpoint.base_url, error=str(error))
