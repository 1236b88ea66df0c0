"""Slow clients, too many clients, limits that need a gateway of their own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from apportion.testing.polling import PATIENCE_SECONDS, eventually

AREA = "http://invest.broker.example"
GOOD = b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}'
JSON_HEAD = b"POST /dx HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


async def test_row_6_a_body_that_does_not_come(start_gateway: Any) -> None:
    gateway = await start_gateway(body_seconds=0.2)
    answer = await gateway.raw(JSON_HEAD + b"Content-Length: 10\r\n\r\n{}")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"BODY_TIMEOUT" in answer
    assert b"Connection: close" in answer


@pytest.mark.parametrize("parts", [(), (b"P",), (JSON_HEAD, b"X-Slow: ")])
async def test_row_7_headers_that_do_not_come(start_gateway: Any, parts: tuple[bytes, ...]) -> None:
    gateway = await start_gateway(head_seconds=0.2)
    started = asyncio.get_running_loop().time()
    assert await gateway.raw(*parts, seconds=PATIENCE_SECONDS) == b""
    assert asyncio.get_running_loop().time() - started < PATIENCE_SECONDS / 2


async def test_row_7_also_on_a_connection_that_served_before(start_gateway: Any) -> None:
    gateway = await start_gateway(head_seconds=0.3)
    request = JSON_HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
    answer = await gateway.raw(request, b"POST /dx HT")
    assert answer.count(b"HTTP/1.1 200") == 1


async def test_an_idle_connection_is_kept_for_its_time_and_not_longer(start_gateway: Any) -> None:
    gateway = await start_gateway(head_seconds=1.0)
    request = JSON_HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD
    started = asyncio.get_running_loop().time()
    assert (await gateway.raw(request, seconds=PATIENCE_SECONDS)).startswith(b"HTTP/1.1 200")
    assert 0.9 < asyncio.get_running_loop().time() - started < PATIENCE_SECONDS / 2


async def test_row_69_too_many_at_once(start_gateway: Any) -> None:
    gateway = await start_gateway(max_in_flight=2)
    gateway.upstream.gate = asyncio.Event()
    waiting = [asyncio.create_task(gateway.la_auth()) for _ in range(2)]
    await eventually(lambda: gateway.upstream.calls)
    await eventually(lambda: gateway.metric("apportion_gateway_in_flight") == 2)
    reply = await gateway.send(GOOD)
    assert reply.refusal == (503, -32050, "OVERLOADED")
    assert reply.headers["Retry-After"] == "1"
    gateway.upstream.gate.set()
    assert {reply.status for reply in await asyncio.gather(*waiting)} == {200}


async def test_connections_of_one_address_are_limited(start_gateway: Any) -> None:
    gateway = await start_gateway(connections_per_address=3)
    held = [await asyncio.open_connection(*gateway.address) for _ in range(3)]
    assert await gateway.raw(JSON_HEAD + b"Content-Length: 0\r\n\r\n") == b""
    held[0][1].close()
    request = JSON_HEAD + b"Connection: close\r\nContent-Length: 0\r\n\r\n"

    async def served() -> bool:
        return (await gateway.raw(request)).startswith(b"HTTP/1.1 200")

    await eventually(served)
    for _reader, writer in held:
        writer.close()


async def test_forwarded_addresses_count_only_from_our_proxies(start_gateway: Any) -> None:
    for proxies, expected in (("", [200, 200, 429]), ("127.0.0.0/8", [200, 200, 200])):
        gateway = await start_gateway(attempts_per_address=2, proxies=proxies)
        statuses = []
        for n in range(3):
            headers = gateway.credentials(**{"X-Forwarded-For": f"203.0.{n}.1"})
            statuses.append((await gateway.la_auth(headers)).status)
        assert statuses == expected
        await gateway.server._stores.redis.command("FLUSHDB")


@pytest.mark.parametrize(
    ("proxies", "scheme", "status"),
    [
        ("127.0.0.0/8", "https", 200),
        ("127.0.0.0/8", "HTTPS, https", 200),
        ("127.0.0.0/8", "http", 403),
        ("127.0.0.0/8", "https, http", 403),
        ("10.0.0.0/8", "http", 200),
        ("", "http", 200),
    ],
)
async def test_a_call_that_reached_our_proxy_in_clear_is_refused(
    start_gateway: Any, proxies: str, scheme: str, status: int
) -> None:
    gateway = await start_gateway(proxies=proxies)
    reply = await gateway.send(GOOD, {"X-Forwarded-Proto": scheme})
    assert reply.status == status
    assert status == 200 or reply.refusal == (403, -32600, "HTTPS_REQUIRED")


async def test_a_refusal_is_logged_with_the_address_behind_our_proxies(start_gateway: Any) -> None:
    gateway = await start_gateway(proxies="127.0.0.0/8")
    with capture_logs() as lines:
        await gateway.send(GOOD, {"X-Forwarded-For": "203.0.113.9"}, path="/other")
    assert [line["address"] for line in lines if line["event"] == "request_refused"] == ["203.0.113.9"]


async def test_not_ready_without_redis_but_alive(start_gateway: Any) -> None:
    gateway = await start_gateway(redis_url="redis://127.0.0.1:1/0")
    assert (await gateway.send(method="GET", path="/readyz")).status == 503
    assert (await gateway.send(method="GET", path="/livez")).status == 200
