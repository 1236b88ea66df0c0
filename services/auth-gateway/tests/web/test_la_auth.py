"""la.auth from the published request to the token."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from apportion.api.platform_groups.v1 import accounts_pb2
from apportion.auth_gateway.domain.brokers import BrokerState
from apportion.auth_gateway.operations import administer_broker as administer
from apportion.errors import DeadlineExceeded, UpstreamUnavailable

LOGIN = 432450857
AREA = "http://invest.broker.example"


async def test_the_published_request_gets_a_token(gateway: Any) -> None:
    body = b'{"jsonrpc":"2.0","id":null,"method":"la.auth","params":{"wa_login":432450857}}'
    reply = await gateway.send(body, gateway.credentials(ManagerPass=f'"{gateway.passwords[1]}"'))
    assert reply.status == 200
    assert reply.json["id"] is None
    assert reply.json["jsonrpc"] == "2.0"
    result = reply.json["result"]
    assert re.fullmatch(r"[0-9a-f]{32}", result["token"])
    assert result["expires_in_seconds"] == 60
    assert result["url"] == f"{AREA}/#/auth?token={result['token']}&lang=en-us"
    assert result["redirect_url"] == f"http://{gateway.app.address()}/redirect/{result['token']}?lang=en-us"


async def test_two_tokens_differ(gateway: Any) -> None:
    assert await gateway.token() != await gateway.token()


@pytest.mark.parametrize(("lang", "tag"), [("ru-ru", "ru-ru"), ("ru", "ru-ru"), ("xx", "en-us"), ("EN-gb", "en-us")])
async def test_the_language_is_one_of_a_fixed_list(gateway: Any, lang: str, tag: str) -> None:
    assert (await gateway.la_auth(lang=lang)).json["result"]["url"].endswith(f"&lang={tag}")


async def test_row_52_refusals_are_byte_equal(gateway: Any) -> None:
    await gateway.add_broker(2, "http://two.example")
    await gateway.add_broker(3, "http://three.example")
    await administer.set_broker_state(gateway.office, 3, BrokerState.DISABLED)
    gateway.upstream.add_account(2, 8, 555)
    gateway.upstream.add_account(1, 9, 556, wallet=7)
    gateway.upstream.add_account(1, 10, 557, state=accounts_pb2.ACCOUNT_STATE_DISABLED)
    gateway.clock.advance(2)
    right = gateway.passwords
    cases = {
        "wrong secret": (gateway.credentials(ManagerPass="wrong"), LOGIN),
        "empty secret": (gateway.credentials(ManagerPass='""'), LOGIN),
        "non-ASCII secret": (gateway.credentials(ManagerPass="пароль"), LOGIN),
        "4 KiB secret": (gateway.credentials(ManagerPass="x" * 4096), LOGIN),
        "unknown label": (gateway.credentials(label=99), LOGIN),
        "not a label": (gateway.credentials(lbl="x"), LOGIN),
        "disabled label": (gateway.credentials(label=3, ManagerPass=right[3]), LOGIN),
        "unknown login": (gateway.credentials(login=1), 1),
        "login of another label": (gateway.credentials(login=555), 555),
        "secret of another label": (gateway.credentials(ManagerPass=right[2]), LOGIN),
        "not a wallet": (gateway.credentials(login=556), 556),
        "wallet not open": (gateway.credentials(login=557), 557),
    }
    replies = {name: await gateway.la_auth(headers, login) for name, (headers, login) in cases.items()}
    assert {(reply.status, reply.body) for reply in replies.values()} == {(200, replies["wrong secret"].body)}
    assert replies["wrong secret"].error["code"] == -32001
    assert replies["wrong secret"].reason == "INVALID_CREDENTIALS"


async def test_refusals_are_not_faster_than_their_floor(start_gateway: Any) -> None:
    gateway = await start_gateway(refusal_seconds=0.2)
    loop = asyncio.get_running_loop()
    started = loop.time()
    # the gateway measures with its own clock, which stands still: the whole floor is slept
    assert (await gateway.la_auth(gateway.credentials(ManagerPass="wrong"))).reason == "INVALID_CREDENTIALS"
    assert loop.time() - started >= 0.2


@pytest.mark.parametrize("header", ["la_login", "lbl", "ManagerPass"])
async def test_row_48_a_missing_header_is_named_also_in_the_log(gateway: Any, header: str) -> None:
    with capture_logs() as lines:
        reply = await gateway.la_auth(gateway.credentials(**{header: None}))
    assert [line["violations"][0].split(":")[0] for line in lines if line["event"] == "call_refused"] == [header]
    assert (reply.status, reply.error["code"], reply.reason) == (200, -32001, "INVALID_CREDENTIALS")
    assert [violation["field"] for violation in reply.error["data"]["violations"]] == [header]


@pytest.mark.parametrize("header", ["la_login", "lbl", "ManagerPass", "la_type"])
async def test_a_header_that_comes_twice_is_refused(gateway: Any, header: str) -> None:
    import aiohttp
    from multidict import CIMultiDict

    headers = CIMultiDict(gateway.credentials() | {"Content-Type": "application/json"})
    headers.add(header, headers[header])
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "la.auth", "params": {"wa_login": LOGIN}})
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"http://{gateway.app.address()}/dx", data=body, headers=headers) as response,
    ):
        assert (await response.json())["error"]["code"] == (-32602 if header == "la_type" else -32001)


@pytest.mark.parametrize("la_type", ["1", "", "x", None])
async def test_row_55_la_type(gateway: Any, la_type: str | None) -> None:
    reply = await gateway.la_auth(gateway.credentials(la_type=la_type))
    assert (reply.status, reply.error["code"]) == (200, -32602)
    assert reply.error["data"]["violations"][0]["field"] == "la_type"


async def test_row_54_mismatch_is_told_only_after_a_valid_secret(gateway: Any) -> None:
    reply = await gateway.la_auth(wa_login=LOGIN + 1)
    assert (reply.error["code"], reply.reason) == (-32602, "LOGIN_MISMATCH")
    reply = await gateway.la_auth(gateway.credentials(ManagerPass="wrong"), LOGIN + 1)
    assert reply.reason == "INVALID_CREDENTIALS"


@pytest.mark.parametrize("right", [True, False])
async def test_row_56_the_eleventh_attempt_in_60_seconds(gateway: Any, right: bool) -> None:
    headers = gateway.credentials() if right else gateway.credentials(ManagerPass="wrong")
    for _ in range(10):
        assert (await gateway.la_auth(headers)).status == 200
        gateway.clock.advance(1)
    reply = await gateway.la_auth(headers)
    assert (reply.status, reply.error["code"], reply.reason) == (429, -32029, "RATE_LIMITED")
    assert reply.json["id"] == 1
    assert reply.error["data"]["retry_after_ms"] == 50_000
    assert reply.headers["Retry-After"] == "50"
    assert (await gateway.la_auth()).status == 429, "the right secret does not help"
    gateway.clock.advance(50)
    assert (await gateway.la_auth()).status == 200
    assert (await gateway.la_auth()).status == 429, "the window slides, it does not start anew"


async def test_row_33_in_a_batch_it_is_refused_and_counts(gateway: Any) -> None:
    one = {"jsonrpc": "2.0", "id": 5, "method": "la.auth", "params": {"wa_login": LOGIN}}
    reply = await gateway.send(json.dumps([one] * 12).encode(), gateway.credentials())
    assert reply.status == 200
    reasons = sorted(item["error"]["data"]["reason"] for item in reply.json)
    assert reasons == ["BATCH_NOT_ALLOWED"] * 10 + ["RATE_LIMITED"] * 2, "counted side by side, in any order"
    assert (await gateway.la_auth()).status == 429


async def test_guessing_locks_the_network_out_for_longer_and_longer(start_gateway: Any) -> None:
    gateway = await start_gateway(free_failures=3)
    for guess in range(4):
        reply = await gateway.la_auth(gateway.credentials(login=100 + guess, ManagerPass=str(guess)), 100 + guess)
        assert reply.reason == "INVALID_CREDENTIALS"
    reply = await gateway.la_auth()
    assert reply.reason == "RATE_LIMITED"
    assert 0 < reply.error["data"]["retry_after_ms"] <= 1000


@pytest.mark.parametrize("quota", ["attempts_per_address", "attempts_per_label", "attempts_total"])
async def test_quotas_beyond_the_login(start_gateway: Any, quota: str) -> None:
    gateway = await start_gateway(**{quota: 2})
    for login in (1, 2):
        assert (await gateway.la_auth(gateway.credentials(login=login), login)).reason == "INVALID_CREDENTIALS"
    assert (await gateway.la_auth(gateway.credentials(login=3), 3)).reason == "RATE_LIMITED"


async def test_invented_labels_share_one_quota_and_leave_the_others_theirs(start_gateway: Any) -> None:
    gateway = await start_gateway(attempts_per_label=2, attempts_total=5)
    for label in (7, 8):
        reply = await gateway.la_auth(gateway.credentials(lbl=str(label)))
        assert reply.reason == "INVALID_CREDENTIALS"
    for label in (9, 10, 11):
        assert (await gateway.la_auth(gateway.credentials(lbl=str(label)))).reason == "RATE_LIMITED"
    assert (await gateway.la_auth()).status == 200, "of the total, only two are gone"
    assert (await gateway.la_auth()).status == 200
    assert (await gateway.la_auth()).reason == "RATE_LIMITED", "by his own label's quota"


async def test_row_58_platform_groups_down(gateway: Any) -> None:
    gateway.upstream.failure = UpstreamUnavailable()
    reply = await gateway.la_auth()
    assert (reply.status, reply.error["code"], reply.reason) == (503, -32050, "UPSTREAM_UNAVAILABLE")
    assert int(reply.headers["Retry-After"]) >= 1


async def test_row_69_platform_groups_too_slow(gateway: Any) -> None:
    gateway.upstream.failure = DeadlineExceeded()
    reply = await gateway.la_auth()
    assert (reply.status, reply.error["code"], reply.reason) == (200, -32054, "DEADLINE_EXCEEDED")


async def test_row_69_a_bug_says_nothing(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object) -> None:
        raise ValueError("the inner text")

    monkeypatch.setattr("apportion.auth_gateway.operations.issue_token.quota_network", broken)
    reply = await gateway.la_auth()
    assert (reply.status, reply.error["code"], reply.reason) == (200, -32603, "INTERNAL")
    assert b"inner" not in reply.body


async def test_row_58_database_down(start_gateway: Any) -> None:
    gateway = await start_gateway()
    assert (await gateway.la_auth()).status == 200
    stores = gateway.server._stores
    gateway.clock.advance(60)
    await stores.engine.dispose()
    stores.directory._engine = __import__("apportion.storage", fromlist=["x"]).create_engine(
        "postgresql://nobody@127.0.0.1:1/nothing"
    )
    reply = await gateway.la_auth()
    assert (reply.status, reply.error["code"], reply.reason) == (503, -32050, "UPSTREAM_UNAVAILABLE")


async def test_redis_down_is_never_unlimited_and_never_accepts(start_gateway: Any) -> None:
    gateway = await start_gateway(redis_url="redis://127.0.0.1:1/0")
    replies = [await gateway.la_auth() for _ in range(11)]
    assert [(r.status, r.reason) for r in replies[:10]] == [(503, "UPSTREAM_UNAVAILABLE")] * 10
    assert (replies[10].status, replies[10].reason) == (429, "RATE_LIMITED")


async def test_wallet_checks_share_one_hop_and_are_remembered_briefly(gateway: Any) -> None:
    gateway.upstream.gate = asyncio.Event()
    waiting = [asyncio.create_task(gateway.la_auth()) for _ in range(8)]
    from apportion.testing.polling import eventually

    await eventually(lambda: len(gateway.upstream.calls) == 1)
    gateway.upstream.gate.set()
    assert {reply.status for reply in await asyncio.gather(*waiting)} == {200}
    assert gateway.upstream.calls == ["GetAccount auth-gateway 1"]
    gateway.clock.advance(6)
    await gateway.la_auth()
    assert len(gateway.upstream.calls) == 2


async def test_rotation_keeps_two_passwords_valid_and_refuses_a_third(gateway: Any) -> None:
    old = gateway.passwords[1]
    new = await administer.rotate_password(gateway.office, 1, 3600)
    gateway.clock.advance(2)
    for secret in (old, new):
        assert (await gateway.la_auth(gateway.credentials(ManagerPass=secret))).status == 200
    with pytest.raises(administer.RotationOpen):
        await administer.rotate_password(gateway.office, 1, 3600)
    gateway.clock.advance(timedelta(hours=1).total_seconds())
    assert (await gateway.la_auth(gateway.credentials(ManagerPass=old))).reason == "INVALID_CREDENTIALS"
    assert "result" in (await gateway.la_auth(gateway.credentials(ManagerPass=new))).json


async def test_a_legacy_password_is_hashed_slowly_once(gateway: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    await administer.import_password(gateway.office, 1, b"short", 0)
    gateway.clock.advance(2)
    headers = gateway.credentials(ManagerPass='"short"')
    assert "result" in (await gateway.la_auth(headers)).json
    monkeypatch.setattr(gateway.server._passwords, "_verify", lambda *_: False)
    assert "result" in (await gateway.la_auth(headers)).json, "remembered by its digest"
    gateway.clock.advance(61)
    assert (await gateway.la_auth(headers)).reason == "INVALID_CREDENTIALS"
    assert (await gateway.la_auth()).reason == "INVALID_CREDENTIALS", "the generated one has ended"


async def test_only_listed_addresses_may_sign_users_in(gateway: Any) -> None:
    secret = await gateway.add_broker(2, address_allow_list=("10.0.0.0/8",))
    gateway.upstream.add_account(2, 8, 555)
    gateway.clock.advance(2)
    reply = await gateway.la_auth(gateway.credentials(label=2, login=555, ManagerPass=secret), 555)
    assert reply.reason == "INVALID_CREDENTIALS"


@pytest.mark.parametrize(
    "url",
    ["//evil.example", "http://evil.example", f"{AREA}@evil.example", "\\evil", f"{AREA}/", f"{AREA}%2e", "http:evil"],
)
async def test_row_64_only_registered_areas(gateway: Any, url: str) -> None:
    reply = await gateway.la_auth(return_url=url)
    assert (reply.status, reply.error["code"], reply.reason) == (200, -32602, "REDIRECT_NOT_ALLOWED")
    assert "evil" not in reply.body.decode()


async def test_a_room_may_choose_among_the_areas(gateway: Any) -> None:
    await administer.add_area(gateway.office, 1, "https://second.example/invest/")
    gateway.clock.advance(2)
    reply = await gateway.la_auth(return_url="https://second.example/invest")
    assert reply.json["result"]["url"].startswith("https://second.example/invest/#/auth?token=")
