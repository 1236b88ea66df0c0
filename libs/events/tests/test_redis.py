"""The thin client: order of answers, errors, loss of the connection."""

from __future__ import annotations

import asyncio

import pytest

from apportion.errors import UpstreamUnavailable
from apportion.events import Redis
from apportion.events.redis_connection import RedisAddress


async def test_concurrent_callers_get_their_own_answers(redis: Redis) -> None:
    async def echo(number: int) -> None:
        assert await redis.command("ECHO", number) == b"%d" % number

    await asyncio.gather(*(echo(number) for number in range(500)))


async def test_several_commands_in_one_write(redis: Redis) -> None:
    assert await redis.commands([("SET", "a", b"\x00\xff"), ("GET", "a"), ("GET", "b")]) == [b"OK", b"\x00\xff", None]


async def test_error_reply_is_raised_and_the_connection_stays_in_step(redis: Redis) -> None:
    with pytest.raises(UpstreamUnavailable, match="wrong kind of value"):
        await redis.commands([("SET", "a", "1"), ("LPUSH", "a", "1"), ("GET", "a")])
    assert await redis.command("GET", "a") == b"1"


async def test_cancelled_caller_does_not_shift_the_answers(redis: Redis) -> None:
    tasks = [asyncio.create_task(redis.command("ECHO", number)) for number in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [result for result in results if isinstance(result, bytes)] == [b"%d" % n for n in range(10) if n != 3]


async def test_connects_again_after_a_loss(redis: Redis) -> None:
    await redis.ping()
    own = await redis.command("CLIENT", "ID")
    other = await redis.connect()
    await other.send([("CLIENT", "KILL", "ID", own)])[0]
    other.close()

    async def answers() -> bool:
        try:
            await redis.ping()
        except UpstreamUnavailable:
            return False
        return True

    while not await answers():
        pass
    assert await redis.command("CLIENT", "ID") != own


async def test_nobody_listens() -> None:
    with pytest.raises(UpstreamUnavailable, match="cannot connect"):
        await Redis("redis://127.0.0.1:1/0").ping()


def test_address() -> None:
    address = RedisAddress.parse("rediss://us%40er:p%2Fw@cache.example:6380/3")
    assert address == RedisAddress("cache.example", 6380, 3, "us@er", "p/w", tls=True)
    assert RedisAddress.parse("redis://localhost") == RedisAddress("localhost", 6379, 0, None, None, tls=False)
    with pytest.raises(ValueError, match="redis://"):
        RedisAddress.parse("http://localhost")
