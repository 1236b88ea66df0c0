"""The redirect link: to registered areas only."""

from __future__ import annotations

from typing import Any

import pytest

from apportion.auth_gateway.operations import administer_broker as administer

AREA = "http://invest.broker.example"


async def follow(gateway: Any, path: str) -> Any:
    return await gateway.send(method="GET", path=path)


async def test_the_link_of_la_auth_leads_to_its_url_and_leaves_the_token_usable(gateway: Any) -> None:
    result = (await gateway.la_auth(lang="ru")).json["result"]
    path = result["redirect_url"].removeprefix(f"http://{gateway.app.address()}")
    for _ in range(2):
        reply = await follow(gateway, path)
        assert (reply.status, reply.headers["Location"]) == (302, result["url"])
        assert result["url"].endswith(f"/#/auth?token={result['token']}&lang=ru-ru")
    assert "result" in (await gateway.call("session.exchange", {"token": result["token"]})).json


@pytest.mark.parametrize(
    ("query", "tag"),
    [
        ("", "en-us"),
        ("?lang=de", "de-de"),
        ("?lang=xx", "en-us"),
        ("?lang=ru-ru%0d%0aX:1", "en-us"),
        ("?lang=ru&url=http://evil.example&token=0", "ru-ru"),
        ("?" + "lang=ru&" * 100, "en-us"),
    ],
)
async def test_only_the_language_is_taken_from_the_request(gateway: Any, query: str, tag: str) -> None:
    token = await gateway.token()
    reply = await follow(gateway, f"/redirect/{token}{query}")
    assert reply.headers["Location"] == f"{AREA}/#/auth?token={token}&lang={tag}"


@pytest.mark.parametrize("token", ["", "0" * 32, "x", "0" * 31 + "%30", "//evil.example"])
async def test_other_tokens_lead_nowhere(gateway: Any, token: str) -> None:
    reply = await follow(gateway, f"/redirect/{token}")
    assert reply.status == 404
    assert "Location" not in reply.headers
    assert b"evil" not in reply.body


async def test_a_spent_or_expired_token_leads_nowhere(gateway: Any) -> None:
    spent, expired = await gateway.token(), await gateway.token()
    await gateway.call("session.exchange", {"token": spent})
    assert (await follow(gateway, f"/redirect/{spent}")).status == 404
    gateway.clock.advance(61)
    assert (await follow(gateway, f"/redirect/{expired}")).status == 404


async def test_a_withdrawn_area_is_no_target(gateway: Any) -> None:
    token = await gateway.token()
    await administer.remove_area(gateway.office, 1, AREA)
    gateway.clock.advance(2)
    assert (await follow(gateway, f"/redirect/{token}")).status == 404


async def test_links_have_a_quota_and_take_get_only(start_gateway: Any) -> None:
    gateway = await start_gateway(exchanges_per_address=1)
    token = await gateway.token()
    assert (await follow(gateway, f"/redirect/{token}")).status == 302
    assert (await follow(gateway, f"/redirect/{token}")).status == 429
    reply = await gateway.send(method="POST", path=f"/redirect/{token}")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET")
