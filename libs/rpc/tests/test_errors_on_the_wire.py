"""A DomainError becomes one status with one detail of each type, and comes back as itself."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from apportion.api.common.v1 import events_pb2
from apportion.errors import (
    DomainError,
    InternalError,
    InvalidArgument,
    KillSwitchOn,
    Kind,
    NotFound,
    Overloaded,
    RemoteError,
    UpstreamUnavailable,
    Violation,
    shared_reasons,
)
from apportion.rpc import call_options
from apportion.rpc.status import CODES, DETAILS_KEY, trailers_of

REQUEST = events_pb2.ReplayEventsRequest(aggregate_type="deals")
METHOD = "/apportion.api.common.v1.ReplayService/ReplayEvents"
OPTIONS: dict[str, Any] = {"timeout": 2, "metadata": (("x-label", "1"),)}


class RotationOpen(DomainError):
    """A rotation of this credential is under way."""

    kind = Kind.PRECONDITION
    reason = "ROTATION_OPEN_IN_TEST"
    cure = "Finish it first."


def raising(error: Exception) -> Any:
    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        raise error

    return behave


async def raw_failure(loopback: Any, error: Exception) -> grpc.aio.AioRpcError:
    channel = loopback.raw(await loopback.serve(raising(error)))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(METHOD)(b"", **OPTIONS)
    return caught.value


def status_of(failure: grpc.aio.AioRpcError) -> Any:
    return status_pb2.Status.FromString(dict(failure.trailing_metadata())[DETAILS_KEY])


def detail(status: Any, message: Any) -> Any:
    for packed in status.details:
        if packed.Unpack(message):
            return message
    return None


@pytest.mark.parametrize("reason", sorted(shared_reasons()))
async def test_a_shared_error_keeps_its_class_and_facts(loopback: Any, reason: str) -> None:
    error_type = shared_reasons()[reason]
    sent = error_type.restored("what happened", {"accountId": "7"}, [Violation("a.b", "must be")], 0.01)
    stub = loopback.stub(await loopback.serve(raising(sent)))
    with pytest.raises(error_type) as caught:
        await stub.ReplayEvents(REQUEST, **call_options(1, 2.0))
    got = caught.value
    assert type(got) is error_type
    assert (got.message, got.metadata, got.violations) == (sent.message, sent.metadata, sent.violations)
    assert got.retry_after_seconds == 0.01


async def test_a_services_own_reason_arrives_as_remote_error(loopback: Any) -> None:
    stub = loopback.stub(await loopback.serve(raising(RotationOpen("rotation 9 is open", rotation_id=9))))
    with pytest.raises(RemoteError) as caught:
        await stub.ReplayEvents(REQUEST, **call_options(1, 2.0))
    error = caught.value
    assert (error.kind, error.reason) == (Kind.PRECONDITION, "ROTATION_OPEN_IN_TEST")
    assert (error.message, error.metadata) == ("rotation 9 is open", {"rotationId": "9"})


@pytest.mark.parametrize("kind", list(Kind))
async def test_every_kind_has_its_code(loopback: Any, kind: Kind) -> None:
    failure = await raw_failure(loopback, RemoteError(kind, "SOME_REASON", "x"))
    assert failure.code() is CODES[kind]
    assert failure.details() == "x"


@pytest.mark.parametrize("reason", sorted(shared_reasons()))
async def test_each_detail_type_comes_at_most_once_and_error_info_always(loopback: Any, reason: str) -> None:
    sent = shared_reasons()[reason].restored("m", {}, [Violation("a", "b"), Violation("c", "d")], 1.0)
    status = status_of(await raw_failure(loopback, sent))
    counts = Counter(packed.type_url for packed in status.details)
    assert set(counts.values()) == {1}
    info = detail(status, error_details_pb2.ErrorInfo())
    assert (info.reason, info.domain) == (reason, "allocation.apportion")
    assert detail(status, error_details_pb2.RequestInfo()).request_id
    assert len(detail(status, error_details_pb2.BadRequest()).field_violations) == 2


async def test_a_precondition_names_its_subject(loopback: Any) -> None:
    status = status_of(await raw_failure(loopback, KillSwitchOn("switch on", subject="group:3")))
    failure = detail(status, error_details_pb2.PreconditionFailure())
    assert (failure.violations[0].type, failure.violations[0].subject) == ("KILL_SWITCH_ON", "group:3")


async def test_an_unforeseen_exception_says_nothing_outside_and_all_in_the_log_once(
    loopback: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = await raw_failure(loopback, ValueError("password is hunter2"))
    assert failure.code() is grpc.StatusCode.INTERNAL
    assert failure.details() == "internal error"
    status = status_of(failure)
    assert detail(status, error_details_pb2.ErrorInfo()).reason == "INTERNAL"
    assert "hunter2" not in str(failure.trailing_metadata())
    request_id = detail(status, error_details_pb2.RequestInfo()).request_id
    output = capsys.readouterr().out
    assert output.count("call_failed") == 1
    assert request_id in output
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_handler_that_returns_nonsense_is_an_internal_error(loopback: Any) -> None:
    async def behave(request: events_pb2.ReplayEventsRequest) -> Any:
        return {"not": "a message"}

    stub = loopback.stub(await loopback.serve(behave))
    with pytest.raises(InternalError, match="internal error"):
        await stub.ReplayEvents(REQUEST, **call_options(1, 2.0))


async def test_more_calls_than_fit_are_refused_with_a_delay(loopback: Any) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        entered.set()
        await release.wait()
        return events_pb2.ReplayEventsResponse()

    address = await loopback.serve(behave, max_concurrent=1, critical_methods=["*/ListHeads"])
    stub, channel = loopback.stub(address), loopback.raw(address)
    first = asyncio.ensure_future(stub.ReplayEvents(REQUEST, **call_options(1, 30.0)))
    await entered.wait()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(METHOD)(b"", **OPTIONS)
    trailers = dict(caught.value.trailing_metadata())
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert trailers["grpc-retry-pushback-ms"] == "250"
    status = status_pb2.Status.FromString(trailers[DETAILS_KEY])
    assert detail(status, error_details_pb2.ErrorInfo()).reason == "OVERLOADED"
    assert detail(status, error_details_pb2.RetryInfo()).retry_delay.nanos == 250_000_000
    with pytest.raises(Overloaded):
        await stub.ReplayEvents(REQUEST, **call_options(1, 2.0))

    critical = await stub.ListHeads(events_pb2.ListHeadsRequest(), **call_options(1, 30.0))
    assert list(critical.sequences) == [1], "critical methods have a pool of their own"
    release.set()
    await first
    await stub.ReplayEvents(REQUEST, **call_options(1, 30.0))


def test_the_trailers_of_the_worst_error_fit_in_8_kib() -> None:
    violations = [Violation("f" * 5_000, "d" * 5_000)] * 500
    error = InvalidArgument("m" * 50_000, violations=violations, fact="v" * 50_000)
    ((_key, body),) = trailers_of(error, "allocation.apportion", "0" * 32)
    assert len(body) * 4 / 3 + 3 * 500 < 8 * 1024


async def test_the_worst_error_still_arrives_whole(loopback: Any) -> None:
    error = InvalidArgument("é" * 50_000, violations=[Violation("f" * 500, "d" * 500)] * 500)
    stub = loopback.stub(await loopback.serve(raising(error)))
    with pytest.raises(InvalidArgument) as caught:
        await stub.ReplayEvents(REQUEST, **call_options(1, 2.0))
    assert caught.value.violations


async def test_a_service_that_is_not_there_is_unavailable(loopback: Any) -> None:
    stub = loopback.stub("127.0.0.1:1")
    with pytest.raises(UpstreamUnavailable, match="allocation cannot be reached"):
        await stub.ReplayEvents(REQUEST, **call_options(1, 2.0))


async def test_not_found_from_another_label_looks_like_any_other(loopback: Any) -> None:
    bodies = set()
    for _label in (1, 2):
        failure = await raw_failure(loopback, NotFound("master", 5))
        bodies.add((failure.code(), failure.details()))
    assert len(bodies) == 1
