"""What is refused before it becomes a call, and the headers of every answer."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

AREA = "http://invest.broker.example"
GOOD = b'{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}'
JSON_HEAD = b"POST /dx HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(name="gateway")
def _gateway(shared_gateway: Any) -> Any:
    return shared_gateway


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "TRACE", "PATCH"])
async def test_row_1_only_post(gateway: Any, method: str) -> None:
    reply = await gateway.send(method=method)
    assert reply.refusal == (405, -32600, "METHOD_NOT_ALLOWED")
    assert reply.headers["Allow"] == "POST, OPTIONS"


async def test_row_1_head(gateway: Any) -> None:
    reply = await gateway.send(method="HEAD")
    assert (reply.status, reply.headers["Allow"], reply.body) == (405, "POST, OPTIONS", b"")


@pytest.mark.parametrize("path", ["/", "/dx/", "/DX", "/dx?x=1", "/dx%20", "//dx", "/metrics"])
async def test_row_2_other_paths(gateway: Any, path: str) -> None:
    from yarl import URL

    reply = await gateway.send(GOOD, path=str(URL(path, encoded=True)))
    assert reply.refusal == (404, -32600, "PATH_NOT_FOUND")


@pytest.mark.parametrize(
    "content_type",
    ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", "application/jsonx"],
)
async def test_row_3_content_type(gateway: Any, content_type: str) -> None:
    reply = await gateway.send(GOOD, {"Content-Type": content_type})
    assert reply.refusal == (415, -32600, "UNSUPPORTED_MEDIA_TYPE")


@pytest.mark.parametrize("content_type", ["application/json;charset=UTF-8", 'Application/JSON; charset="utf-8"'])
async def test_row_3_good_content_types(gateway: Any, content_type: str) -> None:
    assert (await gateway.send(GOOD, {"Content-Type": content_type})).status == 200


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate"])
@pytest.mark.parametrize(
    "body", [gzip.compress(GOOD), GOOD, gzip.compress(bytes(1_000_000))], ids=["small", "plain", "bomb"]
)
async def test_row_4_content_encoding(gateway: Any, encoding: str, body: bytes) -> None:
    reply = await gateway.send(body, {"Content-Encoding": encoding})
    assert reply.refusal == (415, -32600, "UNSUPPORTED_ENCODING")


@pytest.mark.parametrize(
    "head",
    [
        JSON_HEAD + b"X: " + b"canary" * 1400 + b"\r\n\r\n",
        JSON_HEAD + b"".join(b"X-%d: canary\r\n" % n for n in range(101)) + b"\r\n",
        b"POST /" + b"canary" * 1400 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"canary canary canary\r\n\r\n",
        JSON_HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        JSON_HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        JSON_HEAD + b"bad header canary\r\n\r\n",
        JSON_HEAD + b"Content-Length: +5\r\n\r\n",
    ],
)
async def test_row_8_what_the_parser_refuses(gateway: Any, head: bytes) -> None:
    answer = await gateway.raw(head)
    assert answer.startswith(b"HTTP/1.")
    assert answer.split(b" ")[1] == b"400"
    assert answer.endswith(b"\r\n\r\nbad request")
    assert b"canary" not in answer
    assert b"Connection: close" in answer


async def test_a_broken_chunk(gateway: Any) -> None:
    answer = await gateway.raw(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\ncanary")
    assert answer.startswith(b"HTTP/1.")
    assert b"canary" not in answer


async def test_a_chunked_body_is_read(gateway: Any) -> None:
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(GOOD), GOOD)
    head = JSON_HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert (await gateway.raw(head, chunks)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("body", [GOOD, GOOD.ljust(60_000)], ids=["small", "large"])
async def test_requests_in_one_go_are_answered_one_by_one(gateway: Any, body: bytes) -> None:
    request = JSON_HEAD + b"Content-Length: %d\r\n" % len(body)
    bodies, last = (request + b"\r\n" + body) * 49, request + b"Connection: close\r\n\r\n" + body
    answer = await gateway.raw(bodies + last, seconds=60)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 50
    assert answer.count(b"Connection: close\r\n") == 1


async def test_an_old_client_keeps_its_connection_only_when_it_asks(gateway: Any) -> None:
    asks = b"GET /livez HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    answer = await gateway.raw(asks + b"GET /livez HTTP/1.0\r\n\r\n", seconds=60)
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert answer.count(b"Connection: keep-alive\r\n") == answer.count(b"Connection: close\r\n") == 1


async def test_a_body_of_64_kib_and_one_byte_more(gateway: Any) -> None:
    assert (await gateway.send(GOOD.ljust(65_536))).status == 200
    assert (await gateway.send(GOOD.ljust(65_537))).refusal == (413, -32600, "BODY_TOO_LARGE")


async def test_a_chunked_body_that_does_not_end(gateway: Any) -> None:
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    answer = await gateway.raw(JSON_HEAD + b"Transfer-Encoding: chunked\r\n\r\n", chunk, chunk, chunk)
    assert answer.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "localhost, evil"])
async def test_row_13_other_hosts(gateway: Any, host: str) -> None:
    assert (await gateway.send(GOOD, {"Host": host})).refusal == (421, -32600, "HOST_NOT_ALLOWED")


async def test_row_13_two_hosts_or_none(gateway: Any) -> None:
    for hosts in (b"", b"Host: localhost\r\nHost: localhost\r\n"):
        head = b"POST /dx HTTP/1.1\r\n" + hosts + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
        assert (await gateway.raw(head)).split(b" ")[1] in (b"421", b"400")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:80", "127.0.0.1:8080"])
async def test_row_13_our_hosts(gateway: Any, host: str) -> None:
    assert (await gateway.send(GOOD, {"Host": host})).status == 200


async def test_row_14_expectations(gateway: Any) -> None:
    head = JSON_HEAD + b"Content-Length: %d\r\n" % len(GOOD)
    answer = await gateway.raw(head + b"Expect: foo\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 417 ")
    assert answer.endswith(b"\r\n\r\n")
    answer = await gateway.raw(head + b"Connection: close\r\nExpect: 100-continue\r\n\r\n", GOOD)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", f"{AREA}.evil.example", "*", f"{AREA}:8080"])
async def test_row_15_other_origins(gateway: Any, method: str, origin: str) -> None:
    reply = await gateway.send(GOOD, {"Origin": origin}, method)
    assert reply.refusal == (403, -32003, "ORIGIN_NOT_ALLOWED")
    assert "Access-Control-Allow-Origin" not in reply.headers


async def test_row_15_origins_of_areas(gateway: Any) -> None:
    preflight = await gateway.send(b"", {"Origin": AREA, "Access-Control-Request-Method": "POST"}, "OPTIONS")
    assert (preflight.status, preflight.body) == (204, b"")
    assert preflight.headers["Access-Control-Allow-Origin"] == AREA
    assert preflight.headers["Access-Control-Allow-Methods"] == "POST"
    reply = await gateway.send(GOOD, {"Origin": AREA})
    assert reply.headers["Access-Control-Allow-Origin"] == AREA
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"
    assert reply.headers["Vary"] == "Origin"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/dx", GOOD),
        ("POST", "/dx", b"{"),
        ("GET", "/dx", b""),
        ("GET", "/redirect/x", b""),
        ("GET", "/x", b""),
    ],
)
async def test_every_answer_carries_the_security_headers(gateway: Any, method: str, path: str, body: bytes) -> None:
    headers = (await gateway.send(body, method=method, path=path)).headers
    assert "Server" not in headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"
    assert headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]


async def test_probes(gateway: Any) -> None:
    for path in ("/livez", "/readyz"):
        reply = await gateway.send(method="GET", path=path, headers={"Host": "10.0.0.1"})
        assert (reply.status, reply.body) == (200, b"ok\n")


async def test_calls_are_counted_by_method_and_outcome(gateway: Any) -> None:
    labels = {"method": "unknown", "outcome": "METHOD_NOT_FOUND"}
    before = gateway.metric("apportion_gateway_calls_total", **labels)
    await gateway.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": "x" * 50}).encode())
    assert gateway.metric("apportion_gateway_calls_total", **labels) == before + 1
