"""JSON-RPC 2.0 by the letter, over a real socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

LOGIN = 432450857
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(name="gateway")
def _gateway(shared_gateway: Any) -> Any:
    return shared_gateway


def envelope(**members: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "rpc.discover"} | members).encode()


GOOD = envelope().decode()


@pytest.mark.parametrize(
    "body",
    [
        b"", b"   ", b"{", b'{"a":1,}', b"{'a':1}", b"{} // x", b"/* */ {}", b'{"id":01}', b'{"id":+1}', b'{"id":.5}',
        b"{}{}", b"{} x", b'{"id":1.}', b'{"a":"\n"}',
    ],
)  # fmt: skip
async def test_row_17_not_json(gateway: Any, body: bytes) -> None:
    assert_error(await gateway.send(body), -32700, "PARSE_ERROR", None)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
async def test_row_18_no_constants(gateway: Any, constant: str) -> None:
    assert_error(await gateway.send(GOOD.replace("1,", f"{constant},").encode()), -32700, "PARSE_ERROR", None)


@pytest.mark.parametrize(
    "body",
    [
        GOOD.encode("utf-16"), GOOD.encode("utf-16-le"), GOOD.encode("utf-32"), GOOD.encode("utf-8-sig"),
        b'{"a":"\xff"}', b'{"a":"\xc0\xaf"}', b'{"a":"\xed\xa0\x80"}',
    ],
)  # fmt: skip
async def test_row_19_utf_8_only(gateway: Any, body: bytes) -> None:
    assert_error(await gateway.send(body), -32700, "PARSE_ERROR", None)


@pytest.mark.parametrize("body", [b'{"id":1,"id":2}', b'[{"params":{"a":[{"b":1,"b":1}]}}]'])
async def test_row_22_duplicate_keys(gateway: Any, body: bytes) -> None:
    assert_error(await gateway.send(body), -32600, "DUPLICATE_KEY", None)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("[" * 17 + "]" * 17, "TOO_DEEP"),
        ("[" * 20_000 + "]" * 20_000, "TOO_DEEP"),
        (json.dumps("x" * 4097), "STRING_TOO_LONG"),
        ('{"' + "k" * 4097 + '":1}', "STRING_TOO_LONG"),
        (r'"\ud800"', "STRING_INVALID"),
        ("1" * 41, "NUMBER_OUT_OF_RANGE"),
        ("1e999", "NUMBER_OUT_OF_RANGE"),
        ("9" * 5000, "NUMBER_OUT_OF_RANGE"),
    ],
)
async def test_limits_of_the_parser(gateway: Any, value: str, reason: str) -> None:
    assert_error(await gateway.send(f'{{"params":[{value}]}}'.encode()), -32600, reason, None)


async def test_sixteen_levels_and_4_kib_are_fine(gateway: Any) -> None:
    deep = "[" * 15 + json.dumps("x" * 4096) + "]" * 15
    reply = await gateway.send(GOOD.replace("1,", f'1, "extra": {deep},').encode())
    assert reply.json["id"] == 1
    assert "result" in reply.json


@pytest.mark.parametrize("body", [b"1", b'"x"', b"true", b"null", b"{}", b'{"foo":"boo"}', b"[]"])
async def test_rows_24_and_25_not_a_request(gateway: Any, body: bytes) -> None:
    assert_error(await gateway.send(body), -32600, "INVALID_REQUEST", None)


@pytest.mark.parametrize("count", [1, 3])
async def test_row_26_a_batch_of_nonsense(gateway: Any, count: int) -> None:
    reply = await gateway.send(json.dumps([1] * count).encode())
    assert reply.status == 200
    assert [(item["id"], item["error"]["code"]) for item in reply.json] == [(None, -32600)] * count


@pytest.mark.parametrize("batch", [True, False])
async def test_row_28_notifications_get_no_answer(gateway: Any, batch: bool) -> None:
    note = {"jsonrpc": "2.0", "method": "rpc.discover"}
    for method in ("rpc.discover", "no.such"):
        body = json.dumps([note | {"method": method}] * 2 if batch else note | {"method": method})
        reply = await gateway.send(body.encode())
        assert (reply.status, reply.body) == (204, b"")


async def test_row_30_a_batch_of_21(gateway: Any) -> None:
    headers = await gateway.sign_in()
    call = {"jsonrpc": "2.0", "id": 1, "method": "accounts.get"}
    before = len(gateway.upstream.calls)
    assert_error(await gateway.send(json.dumps([call] * 21).encode(), headers), -32600, "BATCH_TOO_LARGE", None)
    assert len(gateway.upstream.calls) == before
    assert len((await gateway.send(json.dumps([call] * 20).encode(), headers)).json) == 20


async def test_row_32_same_id_twice_and_mixed_batches(gateway: Any) -> None:
    good = {"jsonrpc": "2.0", "id": 4, "method": "rpc.discover"}
    items = [good, 1, {"jsonrpc": "2.0", "method": "rpc.discover"}, good, good | {"method": "no", "id": "n"}]
    reply = await gateway.send(json.dumps(items).encode())
    assert [item["id"] for item in reply.json] == [4, None, 4, "n"]
    assert ["result" in item for item in reply.json] == [True, False, True, False]


@pytest.mark.parametrize(
    ("body", "id_"),
    [
        (b'{"jsonrpc":"2.0","method":1,"params":"bar"}', None),
        (b'{"jsonrpc":"2.0","method":1,"id":3}', 3),
        (b'{"jsonrpc":"1.0","method":"a","id":3}', 3),
        (b'{"method":"a","id":3}', 3),
        (b'{"jsonrpc":"2.0","method":"a","id":true}', None),
        (b'{"jsonrpc":"2.0","method":"a","id":[1]}', None),
        (b'{"jsonrpc":"2.0","method":"a","id":{}}', None),
    ],
)
async def test_row_35_invalid_requests(gateway: Any, body: bytes, id_: Any) -> None:
    assert_error(await gateway.send(body), -32600, "INVALID_REQUEST", id_)


@pytest.mark.parametrize("method", ["rpc.x", "no.such", "LA.AUTH", " la.auth", "la.auth\n", ""])
async def test_row_36_unknown_methods(gateway: Any, method: str) -> None:
    assert_error(await gateway.call(method, id="k"), -32601, "METHOD_NOT_FOUND", "k")


@pytest.mark.parametrize("id_", ["0", "-1", '""', '"a"', "1.5", "null", str(2**64), '"é"'])
async def test_rows_38_and_39_ids_are_echoed(gateway: Any, id_: str) -> None:
    reply = await gateway.send(GOOD.replace('"id": 1', f'"id": {id_}').encode())
    assert reply.json["id"] == json.loads(id_)
    assert f'"id":{id_},' in reply.body.decode()
    assert "result" in reply.json


@pytest.mark.parametrize("params", [None, "x", 5, True])
async def test_row_41_params_not_structured(gateway: Any, params: Any) -> None:
    assert_error(await gateway.send(envelope(params=params, id=9)), -32600, "PARAMS_NOT_STRUCTURED", 9)


async def test_row_42_la_auth_takes_names(gateway: Any) -> None:
    reply = await gateway.call("la.auth", [LOGIN], gateway.credentials())
    assert_error(reply, -32602, "NAMED_PARAMS_REQUIRED", 1)


@pytest.mark.parametrize(
    ("params", "field", "word"),
    [
        (None, "wa_login", "REQUIRED"),
        ({}, "wa_login", "REQUIRED"),
        ({"wa_login": 0}, "wa_login", "RANGE"),
        ({"wa_login": -1}, "wa_login", "RANGE"),
        ({"wa_login": 2**63}, "wa_login", "RANGE"),
        ({"wa_login": "432450857"}, "wa_login", "TYPE"),
        ({"wa_login": True}, "wa_login", "TYPE"),
        ({"wa_login": 1.0}, "wa_login", "TYPE"),
        ({"wa_login": LOGIN, "canary": 1}, "params", "UNKNOWN"),
    ],
)
async def test_rows_43_and_45_fields(gateway: Any, params: Any, field: str, word: str) -> None:
    reply = await gateway.call("la.auth", params, gateway.credentials())
    assert_error(reply, -32602, "FIELD_INVALID", 1)
    [violation] = reply.error["data"]["violations"]
    assert violation["field"] == field
    assert violation["description"].startswith(f"{word}: ")
    assert b"canary" not in reply.body


async def test_row_47_extra_members_are_ignored(gateway: Any) -> None:
    assert "result" in (await gateway.send(envelope(extra={"a": [1]}))).json


async def test_positional_params(gateway: Any) -> None:
    headers = await gateway.sign_in()
    assert (await gateway.call("accounts.get", [7], headers)).json["result"]["account_id"] == 7
    reply = await gateway.call("accounts.get", [7, 8], headers)
    assert_error(reply, -32602, "FIELD_INVALID", 1)


async def test_discover_describes_every_method(gateway: Any) -> None:
    document = (await gateway.call("rpc.discover")).json["result"]
    methods = {method["name"]: method for method in document["methods"]}
    assert set(methods) >= {"la.auth", "session.exchange", "session.revoke", "accounts.get", "masters.list"}
    wa_login = methods["la.auth"]["params"][0]
    assert (wa_login["name"], wa_login["required"], wa_login["schema"]["minimum"]) == ("wa_login", True, 1)


async def test_errors_carry_reason_domain_and_request_id(gateway: Any) -> None:
    reply = await gateway.call("no.such", headers={"X-Request-Id": "my-request-1"})
    assert reply.error["data"] == {
        "reason": "METHOD_NOT_FOUND",
        "domain": "auth-gateway.apportion",
        "request_id": "my-request-1",
    }
    assert reply.headers["X-Request-Id"] == "my-request-1"
    made = (await gateway.call("no.such", headers={"X-Request-Id": "<bad>"})).error["data"]["request_id"]
    assert len(made) == 32


def assert_error(reply: Any, code: int, reason: str, id_: Any) -> None:
    assert reply.status == 200
    assert isinstance(reply.json, dict)
    assert (reply.error["code"], reply.reason, reply.json["id"]) == (code, reason, id_)
