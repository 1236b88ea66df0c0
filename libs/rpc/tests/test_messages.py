"""What may be in a message, and how large it may be."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from apportion.api.common.v1 import events_pb2
from apportion.errors import MalformedMessage
from apportion.rpc import call_options
from apportion.rpc.status import error_of

METHOD = "/apportion.api.common.v1.ReplayService/ReplayEvents"
OPTIONS: dict[str, Any] = {"timeout": 2, "metadata": (("x-label", "1"),)}


async def raw_failure(channel: grpc.aio.Channel, body: bytes, **options: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(METHOD)(body, **(OPTIONS | options))
    return caught.value


@pytest.mark.parametrize(
    "body",
    [b"\xff\xff\xff", b"\x0a\x05ab", b"\x0a\x01\xff", b"\x00"],
    ids=["garbage", "truncated", "invalid UTF-8", "field number 0"],
)
async def test_a_malformed_message_is_an_invalid_argument(loopback: Any, body: bytes) -> None:
    failure = await raw_failure(loopback.raw(await loopback.serve()), body)
    assert failure.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert isinstance(error_of(failure, "allocation"), MalformedMessage)


async def test_unknown_fields_are_ignored(loopback: Any) -> None:
    channel = loopback.raw(await loopback.serve())
    assert await channel.unary_unary(METHOD)(b"\xfa\x7f\x03abc", **OPTIONS) == b""


async def test_a_request_over_the_limit_is_refused(loopback: Any) -> None:
    channel = loopback.raw(await loopback.serve())
    fits = events_pb2.ReplayEventsRequest(aggregate_id="x" * ((1 << 20) - 4)).SerializeToString()
    assert len(fits) == 1 << 20
    assert await channel.unary_unary(METHOD)(fits, **OPTIONS) == b""
    failure = await raw_failure(channel, fits + b"\x18\x01"[:1])
    assert failure.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_the_limit_can_be_raised(loopback: Any) -> None:
    stub = loopback.stub(await loopback.serve(max_message_bytes=4 << 20), max_message_bytes=4 << 20)
    request = events_pb2.ReplayEventsRequest(aggregate_id="x" * (2 << 20))
    await stub.ReplayEvents(request, **call_options(1, 30.0))


async def test_answers_may_be_larger_than_requests(loopback: Any) -> None:
    async def answer_much(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        return events_pb2.ReplayEventsResponse(events=[events_pb2.Event(payload=b"x" * (2 << 20))])

    address = await loopback.serve(answer_much, max_answer_bytes=4 << 20)
    stub = loopback.stub(address, max_message_bytes=4 << 20)
    answer = await stub.ReplayEvents(events_pb2.ReplayEventsRequest(), **call_options(1, 30.0))
    assert len(answer.events[0].payload) == 2 << 20
    large = events_pb2.ReplayEventsRequest(aggregate_id="x" * (1 << 20)).SerializeToString()
    failure = await raw_failure(loopback.raw(address), large)
    assert failure.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_metadata_over_8_kib_is_refused(loopback: Any) -> None:
    channel = loopback.raw(await loopback.serve())
    failure = await raw_failure(channel, b"", metadata=(("x-label", "1"), ("x-long", "a" * 9_000)))
    assert failure.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
