"""One connection for all: order, refusals, loss and return."""

from __future__ import annotations

import asyncio

import hiredis
import pytest

from apportion.auth_gateway.storage.redis_link import RedisLink, RedisUnavailable, Script


async def test_many_callers_get_their_own_answers(redis_url: str) -> None:
    link = RedisLink(redis_url)
    answers = await asyncio.gather(*(link.call("ECHO", str(n)) for n in range(500)))
    assert answers == [b"%d" % n for n in range(500)]
    link.close()


async def test_a_refusal_concerns_its_caller_only(redis_url: str) -> None:
    link = RedisLink(redis_url)
    good, bad = await asyncio.gather(link.call("PING"), link.call("NOSUCH"), return_exceptions=True)
    assert good in ("PONG", b"PONG")
    assert isinstance(bad, hiredis.ReplyError)
    link.close()


async def test_scripts_are_loaded_when_unknown(redis_url: str) -> None:
    link = RedisLink(redis_url)
    script = Script("return ARGV[1] .. KEYS[1]")
    assert await link.run(script, ["k"], 7) == b"7k"
    await link.call("SCRIPT", "FLUSH")
    assert await link.run(script, ["k"], 8) == b"8k"
    link.close()


async def test_a_lost_connection_fails_its_callers_and_is_opened_again(redis_url: str) -> None:
    link = RedisLink(redis_url)
    await link.call("PING")
    waiting = asyncio.create_task(link.call("BLPOP", "nothing", 0))
    await asyncio.sleep(0)
    link.close()
    with pytest.raises(RedisUnavailable):
        await waiting
    await link.call("PING")
    link.close()


async def test_a_caller_that_gives_up_does_not_shift_the_answers(redis_url: str) -> None:
    link = RedisLink(redis_url)
    await link.call("PING")
    first = asyncio.create_task(link.call("ECHO", "first"))
    await asyncio.sleep(0)
    first.cancel()
    assert await link.call("ECHO", "second") == b"second"
    link.close()


async def test_a_server_that_does_not_answer(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apportion.auth_gateway.storage.redis_link.ANSWER_SECONDS", 0.1)
    link = RedisLink(redis_url)
    with pytest.raises(RedisUnavailable):
        await link.call("BLPOP", "nothing", 0)
    link.close()


async def test_nobody_there() -> None:
    with pytest.raises(RedisUnavailable):
        await RedisLink("redis://127.0.0.1:1/0").call("PING")
