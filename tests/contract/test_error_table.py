"""The answers to bad calls: the same in every service, for every method."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import grpc
import pytest
import pytest_asyncio
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from apportion.devstack.certificates import issue
from apportion.devstack.stack import OPERATOR, Stack
from apportion.rpc import Tls
from apportion.testing.methods import REPLAY, Method, all_methods
from apportion.testing.polling import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("contract")]

METHODS = all_methods()
WRITES = [method for method in METHODS if method.writes]
LISTS = [method for method in METHODS if method.lists]
SERVICES = sorted({method.service for method in METHODS})
LABEL = (("x-label", "1"),)
SECONDS = 30.0
GARBAGE = b"\xff\xff\xff\xff"
UNKNOWN_ENUM = 40_000
"""Enums are open on the wire; this one does not fit into a smallint either."""


def put_nul(message: Message) -> bool:
    """NUL into each text but ids, in nested messages, too; one row into each list. Whether there was any."""
    found = False
    for field in message.DESCRIPTOR.fields:
        is_text = field.cpp_type == field.CPPTYPE_STRING and field.type == field.TYPE_STRING
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            found = True
            getattr(message, field.name)["a\0b"] = "a\0b"
        elif field.message_type is not None and not field.message_type.file.name.startswith("google/"):
            inner = getattr(message, field.name)
            found |= put_nul(inner.add() if field.is_repeated else inner)
        elif is_text and field.name not in ("request_id", "page_token"):
            found = True
            if field.is_repeated:
                getattr(message, field.name).append("a\0b")
            else:
                setattr(message, field.name, "a\0b")
    return found


def put_unknown_enum(message: Message) -> bool:
    """A number that no enum names into each enum, in nested messages, too. Whether there was any."""
    found = False
    for field in message.DESCRIPTOR.fields:
        if field.enum_type is not None:
            found = True
            if field.is_repeated:
                getattr(message, field.name).append(UNKNOWN_ENUM)
            else:
                setattr(message, field.name, UNKNOWN_ENUM)
        elif (
            field.message_type is not None
            and field.message_type.file.package.startswith("apportion.")
            and not field.message_type.GetOptions().map_entry
        ):
            inner = getattr(message, field.name)
            found |= put_unknown_enum(inner.add() if field.is_repeated else inner)
    return found


TEXTS = [method for method in METHODS if put_nul(method.request())]
ENUMS = [method for method in METHODS if put_unknown_enum(method.request())]


class Wire:
    """Raw calls to a service: bytes in, (code, reason, bytes) out."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._channels: dict[tuple[str, str], grpc.aio.Channel] = {}

    async def call(
        self,
        method: Method,
        body: bytes | None = None,
        *,
        metadata: tuple[tuple[str, str], ...] = LABEL,
        seconds: float | None = SECONDS,
        peer: str = OPERATOR,
    ) -> tuple[grpc.StatusCode, str]:
        request = method.request().SerializeToString() if body is None else body
        return await self.raw(method.service, method.path, request, metadata=metadata, seconds=seconds, peer=peer)

    async def raw(
        self,
        service: str,
        path: str,
        body: bytes,
        *,
        metadata: tuple[tuple[str, str], ...] = LABEL,
        seconds: float | None = SECONDS,
        peer: str = OPERATOR,
    ) -> tuple[grpc.StatusCode, str]:
        unary = self.channel(service, peer).unary_unary(path)
        try:
            await unary(body, metadata=metadata, timeout=seconds)
        except grpc.aio.AioRpcError as error:
            return error.code(), reason_of(error)
        return grpc.StatusCode.OK, ""

    def channel(self, service: str, peer: str) -> grpc.aio.Channel:
        key = (service, peer)
        if key not in self._channels:
            tls = issue(self._stack.folder / "certificates", peer)
            self._channels[key] = secure(self._stack.address(service), tls, service)
        return self._channels[key]

    async def close(self) -> None:
        for channel in self._channels.values():
            await channel.close()


def secure(address: str, tls: Tls, service: str) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(
        tls.ca_file.read_bytes(), tls.key_file.read_bytes(), tls.certificate_file.read_bytes()
    )
    return grpc.aio.secure_channel(address, credentials, [("grpc.ssl_target_name_override", service)])


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """The one ErrorInfo that every refusal of ours carries; "" for gRPC's own."""
    status = rpc_status.from_call(error)  # type: ignore[arg-type]
    reasons = []
    for detail in status.details if status is not None else ():
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info):
            reasons.append(info.reason)
    assert len(reasons) <= 1, reasons
    return reasons[0] if reasons else ""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def wire(stack: Stack) -> AsyncIterator[Wire]:
    opened = Wire(stack)
    yield opened
    await opened.close()


@pytest.mark.parametrize("service", SERVICES)
async def test_unknown_method(wire: Wire, service: str) -> None:
    code, _ = await wire.raw(service, "/apportion.api.nothing.v1.NothingService/DoNothing", b"")
    assert code in {grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.PERMISSION_DENIED}


@pytest.mark.parametrize("method", METHODS, ids=str)
async def test_malformed_message(wire: Wire, method: Method) -> None:
    assert await wire.call(method, GARBAGE) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_MESSAGE")


@pytest.mark.parametrize("method", TEXTS, ids=str)
async def test_texts_that_cannot_be_stored(wire: Wire, method: Method) -> None:
    request = method.filled({}, str(uuid.uuid4()))
    put_nul(request)
    code, reason = await wire.call(method, request.SerializeToString())
    assert code is not grpc.StatusCode.OK or method.lists
    assert (code, reason) not in ((grpc.StatusCode.INTERNAL, "INTERNAL"), (grpc.StatusCode.UNKNOWN, ""))


@pytest.mark.parametrize("method", ENUMS, ids=str)
async def test_enum_values_of_a_version_to_come(wire: Wire, method: Method) -> None:
    request = method.filled(dict.fromkeys(method.ids, 987_654_321), str(uuid.uuid4()))
    put_unknown_enum(request)
    answer = await wire.call(method, request.SerializeToString())
    assert answer == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")


@pytest.mark.parametrize("method", LISTS, ids=str)
async def test_unknown_fields_are_ignored(wire: Wire, method: Method) -> None:
    unknown_varint_field_1000 = b"\xc0\x3e\x01"
    known = await wire.call(method)
    assert await wire.call(method, unknown_varint_field_1000) == known


@pytest.mark.parametrize("service", SERVICES)
async def test_message_over_one_mebibyte(wire: Wire, service: str) -> None:
    method = next(method for method in METHODS if method.service == service)
    code, _ = await wire.call(method, b"\xc2\x3e\x80\x80\x80\x01" + bytes(1 << 21))
    assert code == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("service", SERVICES)
async def test_plaintext_and_foreign_certificates(stack: Stack, tmp_path: Path, service: str) -> None:
    method = next(method for method in METHODS if method.service == service)
    foreign = issue(tmp_path, OPERATOR)
    own = issue(stack.folder / "certificates", OPERATOR)
    address = stack.address(service)
    strange = Tls(foreign.certificate_file, foreign.key_file, own.ca_file)
    for channel in (grpc.aio.insecure_channel(address), secure(address, strange, service)):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(method.path)(b"", timeout=SECONDS, metadata=LABEL)
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        await channel.close()


@pytest.mark.parametrize("method", METHODS, ids=str)
async def test_peer_not_on_the_list(wire: Wire, method: Method) -> None:
    answer = await wire.call(method, peer="stranger")
    assert answer == (grpc.StatusCode.PERMISSION_DENIED, "PEER_NOT_ALLOWED")


@pytest.mark.parametrize("method", METHODS, ids=str)
async def test_no_deadline(wire: Wire, method: Method) -> None:
    answer = await wire.call(method, seconds=None)
    assert answer == (grpc.StatusCode.INVALID_ARGUMENT, "DEADLINE_REQUIRED")


@pytest.mark.parametrize("metadata", [(), (("x-label", "one"),), (("x-label", "1"), ("x-label", "1"))], ids=str)
@pytest.mark.parametrize("method", METHODS, ids=str)
async def test_label_missing_not_numeric_or_twice(
    wire: Wire, method: Method, metadata: tuple[tuple[str, str], ...]
) -> None:
    answer = await wire.call(method, metadata=metadata)
    assert answer == (grpc.StatusCode.INVALID_ARGUMENT, "LABEL_REQUIRED")


@pytest.mark.parametrize("request_id", ["", "not-a-uuid"])
@pytest.mark.parametrize("method", WRITES, ids=str)
async def test_write_without_request_id(wire: Wire, method: Method, request_id: str) -> None:
    request = method.request()
    setattr(request, "request_id", request_id)  # noqa: B010 - the field is known from the descriptor only
    answer = await wire.call(method, request.SerializeToString())
    assert answer == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REQUIRED")


@pytest.mark.parametrize("method", LISTS, ids=str)
async def test_pages(wire: Wire, method: Method) -> None:
    request = method.request()
    setattr(request, "page_token", "bm90IG91cnM")  # noqa: B010
    assert await _refusal(wire, method, request) == (grpc.StatusCode.INVALID_ARGUMENT, "PAGE_TOKEN_INVALID")
    request = method.request()
    setattr(request, "page_size", -1)  # noqa: B010
    assert await _refusal(wire, method, request) == (grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID")


@pytest.mark.parametrize("method", [m for m in METHODS if m.descriptor.name.startswith("Get") and m.ids], ids=str)
async def test_what_is_not_there_is_not_found(wire: Wire, method: Method) -> None:
    request = method.filled(dict.fromkeys(method.ids, 987_654_321))
    answers = [await wire.call(method, request.SerializeToString(), metadata=(("x-label", n),)) for n in "12"]
    assert answers == [(grpc.StatusCode.NOT_FOUND, "NOT_FOUND")] * 2


@pytest.mark.parametrize("method", [m for m in METHODS if m.ids and not m.lists], ids=str)
async def test_ids_of_nothing_are_never_accepted(wire: Wire, method: Method) -> None:
    request = method.filled(dict.fromkeys(method.ids, 987_654_321), str(uuid.uuid4()))
    code, reason = await wire.call(method, request.SerializeToString())
    refused_before = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION} if method.writes else set()
    assert (code, reason) == (grpc.StatusCode.NOT_FOUND, "NOT_FOUND") or code in refused_before


async def test_without_its_database_a_service_says_so_and_serves_again_with_it(stack: Stack, wire: Wire) -> None:
    lists = {service: next(m for m in LISTS if m.service == service and REPLAY not in m.path) for service in SERVICES}
    stack.postgres.kill()
    try:
        for service, method in lists.items():
            assert await wire.call(method) == (grpc.StatusCode.UNAVAILABLE, "DB_UNAVAILABLE"), service
    finally:
        await stack.postgres.start()
    for method in lists.values():
        await eventually(partial(_is_served, wire, method))


async def _is_served(wire: Wire, method: Method) -> bool:
    code, _ = await wire.call(method)
    return code == grpc.StatusCode.OK


async def _refusal(wire: Wire, method: Method, request: object) -> tuple[grpc.StatusCode, str]:
    """Required ids of a listing are filled in, so that only the page is wrong."""
    for name, value in (("aggregate_type", "deals"), ("trading_server_id", 1), ("account_id", 1), ("source_id", "x/1")):
        field = method.descriptor.input_type.fields_by_name.get(name)
        if field is not None:
            setattr(request, name, value)
    return await wire.call(method, request.SerializeToString())  # type: ignore[attr-defined]
