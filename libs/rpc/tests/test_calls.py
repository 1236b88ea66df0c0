"""Replays, cancellation, and the deadline that travels with a call."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from apportion.api.common.v1 import events_pb2
from apportion.errors import DeadlineExceeded, InternalError
from apportion.rpc import call_options
from apportion.rpc.caller import Caller, enter_call
from apportion.runtime import replayed

REQUEST = events_pb2.ReplayEventsRequest(aggregate_type="deals")


async def test_a_stored_answer_is_marked_in_the_trailers(loopback: Any) -> None:
    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        replayed.set(request.from_sequence == 2)
        return events_pb2.ReplayEventsResponse()

    stub = loopback.stub(await loopback.serve(behave))
    for sequence, marked in ((1, False), (2, True), (1, False)):
        call = stub.ReplayEvents(events_pb2.ReplayEventsRequest(from_sequence=sequence), **call_options(1, 2.0))
        await call
        assert (("x-replayed", "1") in tuple(await call.trailing_metadata())) is marked


async def test_a_cancelled_call_stops_its_handler(loopback: Any) -> None:
    entered, stopped = asyncio.Event(), asyncio.Event()

    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        raise AssertionError

    stub = loopback.stub(await loopback.serve(behave, max_concurrent=1))
    call = asyncio.ensure_future(stub.ReplayEvents(REQUEST, **call_options(1, 30.0)))
    await entered.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    async with asyncio.timeout(30):
        await stopped.wait()


async def test_a_cancelled_task_of_a_handler_is_a_bug_and_is_answered(loopback: Any) -> None:
    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        task = asyncio.create_task(asyncio.Event().wait())
        task.cancel()
        await task
        raise AssertionError

    stub = loopback.stub(await loopback.serve(behave))
    with pytest.raises(InternalError, match="internal error"):
        await stub.ReplayEvents(REQUEST, **call_options(1, 5.0))


async def test_the_place_of_a_cancelled_call_is_free_again(loopback: Any) -> None:
    block = True

    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        if block:
            await asyncio.Event().wait()
        return events_pb2.ReplayEventsResponse()

    stub = loopback.stub(await loopback.serve(behave, max_concurrent=1))
    with pytest.raises(DeadlineExceeded):
        await stub.ReplayEvents(REQUEST, **call_options(1, 0.1))
    block = False
    await stub.ReplayEvents(REQUEST, **call_options(1, 30.0))


async def test_a_handler_that_is_too_slow_exceeds_the_callers_deadline(loopback: Any) -> None:
    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        await asyncio.Event().wait()
        raise AssertionError

    stub = loopback.stub(await loopback.serve(behave))
    with pytest.raises(DeadlineExceeded, match="allocation did not answer in time"):
        await stub.ReplayEvents(REQUEST, **call_options(1, 0.05))


async def test_a_call_made_inside_a_call_ends_before_it(loopback: Any) -> None:
    inner: list[float] = []

    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        inner.append(call_options(1, 60.0)["timeout"])
        inner.append(call_options(1, 0.5)["timeout"])
        return events_pb2.ReplayEventsResponse()

    stub = loopback.stub(await loopback.serve(behave))
    await stub.ReplayEvents(REQUEST, **call_options(1, 30.0))
    assert 1.0 < inner[0] < 29.98
    assert inner[1] == 0.5


async def test_no_call_is_started_when_the_callers_time_is_over() -> None:
    enter_call(Caller("fees", 1, "/x/Y", deadline=time.monotonic() + 0.01))
    with pytest.raises(DeadlineExceeded):
        call_options(1, 2.0)


def test_outside_a_handler_the_deadline_is_the_one_given() -> None:
    assert call_options(7, 2.0) == {"timeout": 2.0, "metadata": (("x-label", "7"),)}
