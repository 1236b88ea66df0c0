"""From token to session: one winner, one owner, one life."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any

import pytest

from apportion.auth_gateway.domain.brokers import BrokerState
from apportion.auth_gateway.operations import administer_broker as administer

AREA = "http://invest.broker.example"
LOGIN = 432450857
HALF_HOUR = 30 * 60


async def exchange(gateway: Any, token: str, headers: Any = None, transport: str = "bearer") -> Any:
    return await gateway.call("session.exchange", {"token": token, "transport": transport}, headers)


async def signed_in(gateway: Any, headers: Any) -> bool:
    reply = await gateway.call("accounts.get", headers=headers)
    assert reply.status == 200
    return "result" in reply.json


def assert_invalid(reply: Any) -> None:
    assert (reply.status, reply.error["code"], reply.reason) == (200, -32001, "TOKEN_INVALID")


async def test_a_bearer_session(gateway: Any) -> None:
    reply = await exchange(gateway, await gateway.token())
    result = reply.json["result"]
    assert (result["label"], result["login"], result["wallet_account_id"]) == (1, LOGIN, 7)
    assert len(result["session"]) == 64
    assert "Set-Cookie" not in reply.headers
    assert await signed_in(gateway, {"Authorization": f"Bearer {result['session']}"})


async def test_a_cookie_session_keeps_its_key_from_scripts(gateway: Any) -> None:
    reply = await exchange(gateway, await gateway.token(), {"Origin": AREA}, "cookie")
    assert reply.json["result"]["session"] is None
    cookie, *attributes = reply.headers["Set-Cookie"].split("; ")
    assert cookie.startswith("__Host-session=")
    assert set(attributes) == {"Path=/", "Max-Age=43200", "Secure", "HttpOnly", "SameSite=Strict"}
    assert await signed_in(gateway, {"Cookie": f"other=1; {cookie}"})


async def test_row_59_used_twice_revokes_the_session(gateway: Any) -> None:
    token = await gateway.token()
    key = (await exchange(gateway, token)).json["result"]["session"]
    headers = {"Authorization": f"Bearer {key}"}
    assert await signed_in(gateway, headers)
    assert_invalid(await exchange(gateway, token))
    assert not await signed_in(gateway, headers)


async def test_row_59_fifty_at_once_have_one_winner(gateway: Any) -> None:
    token = await gateway.token()
    replies = await asyncio.gather(*(exchange(gateway, token) for _ in range(50)))
    winners = [reply for reply in replies if "result" in reply.json]
    assert len(winners) == 1
    for reply in replies:
        if reply is not winners[0]:
            assert_invalid(reply)
    key = winners[0].json["result"]["session"]
    assert not await signed_in(gateway, {"Authorization": f"Bearer {key}"})


async def test_row_60_at_59_and_61_seconds(gateway: Any) -> None:
    early, late = await gateway.token(), await gateway.token()
    gateway.clock.advance(59)
    assert "result" in (await exchange(gateway, early)).json
    gateway.clock.advance(2)
    assert_invalid(await exchange(gateway, late))


async def test_redis_forgets_a_token_by_itself(gateway: Any) -> None:
    await gateway.token()
    redis = gateway.server._stores.redis
    [key] = await redis.command("KEYS", "gateway:token:*")
    assert 50_000 < await redis.command("PTTL", key) <= 60_000


@pytest.mark.parametrize("token", ["a" * 31, "a" * 33, "A" * 32, "g" * 32, "", "é" * 32, "a" * 32 + "\n", "0" * 32])
async def test_row_60_malformed_and_unknown_tokens(gateway: Any, token: str) -> None:
    assert_invalid(await exchange(gateway, token))


async def test_row_60_a_token_of_another_label(gateway: Any) -> None:
    await gateway.add_broker(2, "http://two.example")
    gateway.clock.advance(2)
    for headers in ({"lbl": "2"}, {"lbl": "x"}, {"Origin": "http://two.example"}, {"lbl": "2", "Origin": AREA}):
        token = await gateway.token()
        assert_invalid(await exchange(gateway, token, headers))
        assert_invalid(await exchange(gateway, token, {"lbl": "1"}))
    assert "result" in (await exchange(gateway, await gateway.token(), {"lbl": "1", "Origin": AREA})).json


async def test_a_disabled_broker_ends_tokens_and_sessions(gateway: Any) -> None:
    token, headers = await gateway.token(), await gateway.sign_in()
    await administer.set_broker_state(gateway.office, 1, BrokerState.DISABLED)
    gateway.clock.advance(2)
    assert_invalid(await exchange(gateway, token))
    assert not await signed_in(gateway, headers)


@pytest.mark.parametrize("method", ["accounts.get", "masters.list", "subscriptions.list", "session.revoke"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer " + "0" * 64},
        {"Authorization": "Bearer short"},
        {"Authorization": "Basic " + "0" * 64},
        {"Cookie": "__Host-session=" + "0" * 64},
    ],
)
async def test_row_62_without_a_session(gateway: Any, method: str, headers: dict[str, str]) -> None:
    reply = await gateway.call(method, headers=headers)
    assert (reply.status, reply.error["code"], reply.reason) == (200, -32001, "SESSION_REQUIRED")


async def test_two_different_sessions_in_one_request_are_none(gateway: Any) -> None:
    one, two = await gateway.sign_in(), await gateway.sign_in()
    cookie = "__Host-session=" + two["Authorization"].removeprefix("Bearer ")
    assert not await signed_in(gateway, one | {"Cookie": cookie})


async def test_row_62_a_session_slides_and_ends_after_12_hours(gateway: Any) -> None:
    headers = await gateway.sign_in()
    redis = gateway.server._stores.redis
    [key] = await redis.command("KEYS", "gateway:session:*")
    for half_hours in range(1, 24):
        gateway.clock.advance(HALF_HOUR)
        assert await signed_in(gateway, headers), half_hours
        assert await redis.command("PTTL", key) > (HALF_HOUR - 60) * 1000
    gateway.clock.advance(HALF_HOUR - 10)
    assert await signed_in(gateway, headers)
    assert await redis.command("PTTL", key) <= 10_000, "not beyond 12 hours"
    gateway.clock.advance(11)
    assert not await signed_in(gateway, headers)


async def test_revoking_here_and_everywhere(gateway: Any) -> None:
    here, there, other = [await gateway.sign_in() for _ in range(3)]
    reply = await gateway.call("session.revoke", headers=here)
    assert reply.json["result"] == {"revoked": True}
    assert reply.headers["Set-Cookie"].startswith("__Host-session=; Path=/; Max-Age=0")
    assert not await signed_in(gateway, here)
    assert await signed_in(gateway, there)
    await gateway.call("session.revoke", {"everywhere": True}, there)
    assert not await signed_in(gateway, other)
    gateway.clock.advance(1)
    assert await signed_in(gateway, await gateway.sign_in())


@pytest.mark.parametrize("scope", [(), (1,), (1, LOGIN)])
async def test_operators_revoke_sessions(gateway: Any, scope: tuple[int, ...]) -> None:
    headers = await gateway.sign_in()
    sessions = gateway_sessions(gateway)
    now_ms = int(gateway.clock.now().timestamp() * 1000)
    await sessions.revoke(now_ms, 1, LOGIN + 1)
    await sessions.revoke(now_ms, 2)
    assert await signed_in(gateway, headers)
    await sessions.revoke(now_ms, *scope)
    assert not await signed_in(gateway, headers)


@pytest.mark.parametrize("scope", [(), (1,), (1, LOGIN)])
async def test_what_revokes_sessions_revokes_tokens_that_wait_for_exchange(
    gateway: Any, scope: tuple[int, ...]
) -> None:
    sessions = gateway_sessions(gateway)
    token, spared = await gateway.token(), await gateway.token()
    now_ms = int(gateway.clock.now().timestamp() * 1000)
    await sessions.revoke(now_ms, 1, LOGIN + 1)
    await sessions.revoke(now_ms, 2)
    assert (await exchange(gateway, spared)).status == 200
    await sessions.revoke(now_ms, *scope)
    assert (await exchange(gateway, token)).reason == "TOKEN_INVALID"
    gateway.clock.advance(1)
    assert (await exchange(gateway, await gateway.token())).status == 200


async def test_quotas_of_exchanges_and_calls(start_gateway: Any) -> None:
    gateway = await start_gateway(exchanges_per_address=1, calls_per_user=2)
    headers = await gateway.sign_in()
    reply = await exchange(gateway, "0" * 32)
    assert (reply.status, reply.reason) == (429, "RATE_LIMITED")
    assert await signed_in(gateway, headers)
    assert await signed_in(gateway, headers)
    assert (await gateway.call("accounts.get", headers=headers)).status == 429


async def test_redis_keeps_neither_token_nor_key(gateway: Any) -> None:
    token = await gateway.token()
    key = (await gateway.sign_in())["Authorization"].removeprefix("Bearer ")
    redis = gateway.server._stores.redis
    stored = b""
    for name in await redis.command("KEYS", "*"):
        stored += name
        if await redis.command("TYPE", name) in (b"string", "string"):
            stored += await redis.command("GET", name)
    assert token.encode() not in stored
    assert key.encode() not in stored


async def test_redis_down_is_said(gateway: Any) -> None:
    headers = await gateway.sign_in()
    redis = gateway.server._stores.redis
    await redis.close()
    redis._address = dataclasses.replace(redis._address, port=1)
    reply = await gateway.call("accounts.get", headers=headers)
    assert (reply.status, reply.error["code"], reply.reason) == (503, -32050, "UPSTREAM_UNAVAILABLE")


async def test_exchange_is_refused_in_a_batch(gateway: Any) -> None:
    reply = await gateway.send(b'[{"jsonrpc":"2.0","id":1,"method":"session.exchange","params":{"token":"x"}}]')
    assert reply.json[0]["error"]["data"]["reason"] == "BATCH_NOT_ALLOWED"


def gateway_sessions(gateway: Any) -> Any:
    from apportion.auth_gateway.storage.sessions import Sessions

    return Sessions(gateway.server._stores.redis)
