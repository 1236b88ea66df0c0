"""Weather: the newest snapshot under a key (ticks, live equity). Never replayed; only the newest version counts."""

from __future__ import annotations

import asyncio

import structlog

from apportion.errors import UpstreamUnavailable
from apportion.events.redis import Redis, Script
from apportion.events.redis_connection import Reply

log = structlog.get_logger()

VERSION_DIGITS = 19
PING_SECONDS = 2.0
FIRST_DELAY_SECONDS = 0.05
LONGEST_DELAY_SECONDS = 1.0

# An older snapshot than the stored one is dropped, so that a publisher that slept cannot turn the weather back.
# Versions are decimal numbers of one width: they compare as strings. KEYS[1] is also the channel.
PUBLISH = Script(f"""
local stored = redis.call('GETRANGE', KEYS[1], 0, {VERSION_DIGITS - 1})
if stored >= string.sub(ARGV[1], 1, {VERSION_DIGITS}) then return 0 end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('PUBLISH', KEYS[1], ARGV[1])
return 1
""")


def accounts_key(trading_server_id: int) -> str:
    """Where platform-groups publishes the AccountStates of a trading server."""
    return f"weather:accounts:{trading_server_id}"


def ticks_key(trading_server_id: int) -> str:
    """Where platform-groups publishes the Ticks of a trading server."""
    return f"weather:ticks:{trading_server_id}"


async def publish_weather(redis: Redis, key: str, payload: bytes, version: int) -> bool:
    """Store and announce a snapshot in one round trip; False when a version as new is there already.

    `version` (0 to 2^63-1) must grow over restarts of the publisher too: a time in milliseconds does.
    Raises UpstreamUnavailable.
    """
    value = b"%0*d" % (VERSION_DIGITS, version) + payload
    return bool(await redis.run_script(PUBLISH, [key], value))


class WeatherCell:
    """The newest snapshot of one key, kept fresh by a subscription and read once on each (re)connection.

    `run()` is for a supervised task. While Redis is away `latest()` keeps the last snapshot: its reader judges
    the age by what the payload says.
    """

    def __init__(self, redis: Redis, key: str) -> None:
        self._redis = redis
        self._key = key
        self._latest: tuple[int, bytes] | None = None
        self._changed = asyncio.Event()
        self._heard = asyncio.Event()

    def latest(self) -> tuple[int, bytes] | None:
        """(version, payload), or None before the first snapshot was seen."""
        return self._latest

    async def newer(self, version: int) -> tuple[int, bytes]:
        """Wait for a snapshot with a higher version; use -1 for any."""
        while self._latest is None or self._latest[0] <= version:
            await self._changed.wait()
        return self._latest

    async def read(self) -> bytes | None:
        """Ask Redis now; the payload of the newest snapshot known. Raises UpstreamUnavailable."""
        value = await self._redis.command("GET", self._key)
        if value is not None:
            self._offer(value)
        return None if self._latest is None else self._latest[1]

    async def run(self) -> None:
        """Follow the key for ever, reconnecting as needed."""
        delay = FIRST_DELAY_SECONDS
        while True:
            try:
                await self._follow()
            except UpstreamUnavailable as error:
                log.warning("weather_interrupted", key=self._key, cause=str(error))
            delay = FIRST_DELAY_SECONDS if self._heard.is_set() else min(delay * 2, LONGEST_DELAY_SECONDS)
            self._heard.clear()
            await asyncio.sleep(delay)

    async def _follow(self) -> None:
        """Subscribe before reading: what is published in between arrives by both ways and is taken once."""
        connection = await self._redis.connect(self._on_push)
        try:
            connection.send([("SUBSCRIBE", self._key)])
            await self._expect_sound()
            await self.read()
            while not connection.lost.done():
                await asyncio.wait([connection.lost], timeout=PING_SECONDS)
                connection.send([("PING",)])
                await self._expect_sound()
        finally:
            connection.close()

    async def _expect_sound(self) -> None:
        """A connection can be dead without a sign: it has to answer in time."""
        self._heard.clear()
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._heard.wait()
        except TimeoutError as error:
            raise UpstreamUnavailable("redis: the subscription is silent", service="redis") from error

    def _on_push(self, reply: Reply) -> None:
        self._heard.set()
        if isinstance(reply, list) and reply and reply[0] == b"message":
            self._offer(reply[2])

    def _offer(self, value: bytes) -> None:
        version = int(value[:VERSION_DIGITS])
        if self._latest is None or version > self._latest[0]:
            self._latest = (version, value[VERSION_DIGITS:])
            self._changed.set()
            self._changed = asyncio.Event()
