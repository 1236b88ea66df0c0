"""Who may call, for which label, until when."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from apportion.api.common.v1 import events_pb2
from apportion.errors import (
    DeadlineExceeded,
    DeadlineRequired,
    LabelRequired,
    PeerNotAllowed,
    RemoteError,
)
from apportion.rpc import SUITE_LABEL, Caller, call_options, caller
from apportion.rpc.admission import Admission
from apportion.rpc.peers import AllowList
from apportion.rpc.status import error_of

REQUEST = events_pb2.ReplayEventsRequest(aggregate_type="deals")
METHOD = "/apportion.api.common.v1.ReplayService/ReplayEvents"


async def raw_error(channel: grpc.aio.Channel, method: str = METHOD, **options: Any) -> Any:
    """What a client of another make gets, read by our own mapping."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(method)(b"", **options)
    return error_of(caught.value, "allocation")


async def test_a_handler_knows_its_caller(loopback: Any) -> None:
    seen: list[Caller] = []

    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        seen.append(caller())
        return events_pb2.ReplayEventsResponse()

    stub = loopback.stub(await loopback.serve(behave))
    await stub.ReplayEvents(REQUEST, **call_options(42, 30.0))
    assert (seen[0].peer, seen[0].label, seen[0].method) == ("fees", 42, METHOD)
    assert 0 < seen[0].remaining_seconds < 30.0
    with pytest.raises(LookupError):
        caller()


async def test_an_unknown_method_is_unimplemented(loopback: Any) -> None:
    channel = loopback.raw(await loopback.serve())
    for method in ("/apportion.api.common.v1.ReplayService/Nope", "/nowhere.Service/Nope"):
        error = await raw_error(channel, method, timeout=2, metadata=(("x-label", "1"),))
        assert isinstance(error, RemoteError)
        assert error.reason == "UNIMPLEMENTED"


@pytest.mark.parametrize("peer", ["risk", "stranger"])
async def test_a_method_not_on_the_peers_list_is_refused(loopback: Any, peer: str) -> None:
    stub = loopback.stub(await loopback.serve(), peer)
    with pytest.raises(PeerNotAllowed) as caught:
        await stub.ReplayEvents(REQUEST, **call_options(1, 2.0))
    assert caught.value.metadata == {"peer": peer, "method": METHOD}


async def test_the_allow_list_tells_methods_apart(loopback: Any) -> None:
    stub = loopback.stub(await loopback.serve(), "risk")
    heads = await stub.ListHeads(events_pb2.ListHeadsRequest(), **call_options(1, 30.0))
    assert list(heads.aggregate_ids) == ["7"]


async def test_a_name_in_the_metadata_does_not_replace_the_certificate(loopback: Any) -> None:
    channel = loopback.raw(await loopback.serve(), "risk")
    error = await raw_error(channel, timeout=2, metadata=(("x-label", "1"), ("x-peer", "fees")))
    assert isinstance(error, PeerNotAllowed)


async def test_without_tls_the_caller_is_anonymous_unless_the_server_trusts_names(loopback: Any) -> None:
    open_to_all = await loopback.serve(tls=None, peers=None)
    await loopback.stub(open_to_all, tls=None, peer="x").ReplayEvents(REQUEST, **call_options(1, 30.0))

    closed = loopback.stub(await loopback.serve(tls=None), tls=None)
    with pytest.raises(PeerNotAllowed, match="anonymous may not call"):
        await closed.ReplayEvents(REQUEST, **call_options(1, 2.0))


async def test_a_trusting_server_takes_the_name_from_the_metadata(loopback: Any) -> None:
    address = await loopback.serve(tls=None, trust_metadata_peer=True)
    channel = loopback.raw(address, credentials=grpc.experimental.insecure_channel_credentials())
    metadata = (("x-label", "1"), ("x-peer", "fees"))
    assert await channel.unary_unary(METHOD)(b"", timeout=2, metadata=metadata) == b""


async def test_a_call_without_deadline_is_refused(loopback: Any) -> None:
    address = await loopback.serve()
    error = await raw_error(loopback.raw(address), metadata=(("x-label", "1"),))
    assert isinstance(error, DeadlineRequired)


async def test_our_own_channel_does_not_send_a_call_without_deadline(loopback: Any) -> None:
    stub = loopback.stub(await loopback.serve())
    with pytest.raises(DeadlineRequired):
        await stub.ReplayEvents(REQUEST)


async def test_a_long_deadline_is_cut(loopback: Any) -> None:
    seen: list[float] = []
    cancelled = asyncio.Event()

    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        seen.append(caller().remaining_seconds)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    stub = loopback.stub(await loopback.serve(behave, max_call_seconds=0.2))
    with pytest.raises(DeadlineExceeded, match="longer than this server works"):
        await stub.ReplayEvents(REQUEST, **call_options(1, 60.0))
    assert seen[0] <= 0.2
    assert cancelled.is_set()


@pytest.mark.parametrize("labels", [[], ["abc"], ["1", "2"], ["-1"], ["1.0"], [""], ["+1"], [str(2**63)], ["9" * 40]])
async def test_a_label_must_come_once_and_be_a_number(loopback: Any, labels: list[str]) -> None:
    channel = loopback.raw(await loopback.serve())
    error = await raw_error(channel, timeout=2, metadata=tuple(("x-label", label) for label in labels))
    assert isinstance(error, LabelRequired)


@pytest.mark.parametrize("label", [SUITE_LABEL, 1, 2**63 - 1])
async def test_every_label_up_to_63_bits_is_accepted(loopback: Any, label: int) -> None:
    stub = loopback.stub(await loopback.serve())
    await stub.ReplayEvents(REQUEST, **call_options(label, 30.0))


class ArrivingContext:
    """As much of a gRPC context as admission reads."""

    def __init__(self, remaining_seconds: float) -> None:
        self._remaining_seconds = remaining_seconds

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return (("x-label", "1"),)

    def time_remaining(self) -> float:
        return self._remaining_seconds

    def peer_identities(self) -> list[bytes]:
        return [b"fees", b"localhost"]


@pytest.mark.parametrize(("remaining_seconds", "refused"), [(0.0, True), (0.005, True), (0.006, False)])
def test_a_call_that_arrives_too_late_is_refused_before_any_work(remaining_seconds: float, refused: bool) -> None:
    admission = Admission(AllowList({"fees": ["/*"]}), most_seconds=30.0, trust_metadata_peer=False)
    context: Any = ArrivingContext(remaining_seconds)
    if refused:
        with pytest.raises(DeadlineExceeded):
            admission.admit(METHOD, context)
    else:
        assert admission.admit(METHOD, context).remaining_seconds <= remaining_seconds


def test_the_peer_is_the_first_certified_name_on_the_list() -> None:
    allow_list = AllowList({"fees": ["/a.*"], "risk": []})
    assert allow_list.name_of([b"pod-7.cluster", b"fees", b"risk"]) == "fees"
    assert allow_list.name_of([b"pod-7.cluster", b"localhost"]) == "pod-7.cluster"
    assert allow_list.name_of([]) == "anonymous"


def test_an_empty_allow_list_allows_nothing() -> None:
    with pytest.raises(PeerNotAllowed):
        AllowList({}).check("fees", METHOD)
    with pytest.raises(PeerNotAllowed):
        AllowList({"risk": []}).check("risk", METHOD)
