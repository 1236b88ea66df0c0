"""The thin client: order of answers, errors, loss of the connection."""

from __future__ import annotations

import asyncio

import pytest

from apportion.errors import UpstreamUnavailable
from apportion.events import Redis, RedisUnavailable, Script
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


async def test_scripts_are_sent_once_and_again_when_the_server_forgot_them(redis: Redis) -> None:
    script = Script("return ARGV[1] .. KEYS[1]")
    assert await redis.run_script(script, ["k"], 7) == b"7k"
    await redis.command("SCRIPT", "FLUSH")
    assert await redis.run_script(script, ["k"], 8) == b"8k"
    with pytest.raises(RedisUnavailable, match="wrong kind"):
        await redis.run_script(Script("redis.call('SET', 'a', '1') return redis.call('LPUSH', 'a', '1')"), [])


async def test_a_server_that_does_not_answer_in_time(redis_url: str) -> None:
    redis = Redis(redis_url, answer_seconds=0.1)
    await redis.ping()
    late = [asyncio.create_task(redis.command("BLPOP", name, 0)) for name in ("nothing", "never")]
    for task in late:
        with pytest.raises(RedisUnavailable, match=r"no answer in 0\.1 s"):
            await task
    await redis.ping()
    await redis.close()


async def test_close_tells_those_who_wait(redis: Redis) -> None:
    await redis.ping()
    waiting = asyncio.create_task(redis.command("BLPOP", "nothing", 0))
    await asyncio.sleep(0)
    await redis.close()
    with pytest.raises(RedisUnavailable, match="connection closed"):
        await waiting


async def test_a_connection_that_blocks_has_no_limit_unless_asked(redis_url: str) -> None:
    redis = Redis(redis_url, answer_seconds=0.05)
    connection = await redis.connect()
    assert await connection.send([("BLPOP", "nothing", "0.2")])[0] is None
    connection.close()


async def test_nobody_listens() -> None:
    with pytest.raises(UpstreamUnavailable, match="cannot connect"):
        await Redis("redis://127.0.0.1:1/0").ping()


def test_address() -> None:
    address = RedisAddress.parse("rediss://us%40er:p%2Fw@cache.example:6380/3")
    assert address == RedisAddress("cache.example", 6380, 3, "us@er", "p/w", tls=True)
    assert RedisAddress.parse("redis://localhost") == RedisAddress("localhost", 6379, 0, None, None, tls=False)
    with pytest.raises(ValueError, match="redis://"):
        RedisAddress.parse("http://localhost")
