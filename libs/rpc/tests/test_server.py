"""Health, readiness, reflection, retries, and a stop that no caller notices."""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import Any

import grpc
import pytest
from grpc_channelz.v1 import channelz_pb2
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from apportion.api.common.v1 import events_pb2, events_pb2_grpc
from apportion.errors import DatabaseUnavailable, Draining, Overloaded, UpstreamUnavailable
from apportion.rpc import Server, call_options
from apportion.rpc import server as server_module
from apportion.rpc.pool import Pool
from apportion.testing.polling import eventually

REQUEST = events_pb2.ReplayEventsRequest(aggregate_type="deals")
SERVICE = "apportion.api.common.v1.ReplayService"
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health(channel: grpc.aio.Channel, service: str) -> int:
    """Asked without label and without deadline, as any probe does."""
    request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    body = await channel.unary_unary("/grpc.health.v1.Health/Check")(request)
    return health_pb2.HealthCheckResponse.FromString(body).status


async def is_healthy(channel: grpc.aio.Channel, service: str, expected: int) -> bool:
    return await health(channel, service) == expected


async def test_health_is_told_for_the_server_and_each_service(loopback: Any) -> None:
    channel = loopback.raw(await loopback.serve(), "stranger")
    assert await health(channel, "") == SERVING
    assert await health(channel, SERVICE) == SERVING


async def test_health_follows_readiness(loopback: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "READY_POLL_SECONDS", 0.02)
    outcome: list[Any] = [False]

    async def ready() -> bool:
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return bool(outcome[0])

    channel = loopback.raw(await loopback.serve(ready=ready))
    assert await health(channel, SERVICE) == NOT_SERVING
    for value, expected in ((True, SERVING), (OSError("database"), NOT_SERVING), (True, SERVING)):
        outcome[0] = value
        await eventually(partial(is_healthy, channel, SERVICE, expected))


async def test_two_servers_cannot_share_a_port(loopback: Any) -> None:
    address = await loopback.serve()
    with pytest.raises(OSError, match=f"cannot listen on {address}"):
        await loopback.serve(address=address)


@pytest.mark.parametrize(("peer", "allowed"), [("operator", True), ("fees", False)])
async def test_reflection_is_for_those_on_the_list(loopback: Any, peer: str, allowed: bool) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(loopback.raw(await loopback.serve(), peer))
    call = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    if not allowed:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        return
    answer = await call.read()
    assert SERVICE in {service.name for service in answer.list_services_response.service}


@pytest.mark.parametrize(("peer", "allowed"), [("operator", True), ("fees", False)])
async def test_channelz_is_for_those_on_the_list(loopback: Any, peer: str, allowed: bool) -> None:
    channel = loopback.raw(await loopback.serve(), peer)
    call = channel.unary_unary("/grpc.channelz.v1.Channelz/GetServers")
    if not allowed:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(b"")
        assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
        return
    assert channelz_pb2.GetServersResponse.FromString(await call(b"")).server


async def test_an_unavailable_answer_is_tried_four_times(loopback: Any) -> None:
    attempts = itertools.count(1)
    succeed_at = 4

    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        if next(attempts) < succeed_at:
            raise DatabaseUnavailable(retry_after_seconds=0.01)
        return events_pb2.ReplayEventsResponse()

    stub = loopback.stub(await loopback.serve(behave))
    await stub.ReplayEvents(REQUEST, **call_options(1, 30.0))
    attempts, succeed_at = itertools.count(1), 100
    with pytest.raises(DatabaseUnavailable):
        await stub.ReplayEvents(REQUEST, **call_options(1, 5.0))
    assert next(attempts) == 5


async def test_a_drain_finishes_what_is_in_flight(loopback: Any) -> None:
    entered, release = asyncio.Event(), asyncio.Event()

    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        entered.set()
        await release.wait()
        return events_pb2.ReplayEventsResponse()

    stub = loopback.stub(await loopback.serve(behave))
    call = asyncio.ensure_future(stub.ReplayEvents(REQUEST, **call_options(1, 30.0)))
    await entered.wait()
    drain = asyncio.create_task(loopback.server.drain(5.0))
    await asyncio.sleep(0)
    assert not drain.done()
    release.set()
    await call
    await drain


async def test_a_call_cut_off_by_a_stop_may_be_repeated(loopback: Any) -> None:
    entered = asyncio.Event()

    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        entered.set()
        await asyncio.Event().wait()
        raise AssertionError

    stub = loopback.stub(await loopback.serve(behave))
    call = asyncio.ensure_future(stub.ReplayEvents(REQUEST, **call_options(1, 30.0)))
    await entered.wait()
    await loopback.server.drain(0.05)
    with pytest.raises(UpstreamUnavailable):
        await call


def test_a_draining_pool_takes_no_call() -> None:
    pool = Pool(1)
    with pool, pytest.raises(Overloaded):
        pool.__enter__()
    pool.draining = True
    with pytest.raises(Draining):
        pool.__enter__()
    assert pool.active == 0


async def test_a_rolling_restart_fails_no_call(loopback: Any) -> None:
    """Two replicas under load are replaced one after the other; the channel is told only their addresses."""
    first = await loopback.serve(drain_delay_seconds=0.3)
    first_server = loopback.server
    second = await loopback.serve(drain_delay_seconds=0.3)
    second_server = loopback.server
    stub = loopback.stub(f"ipv4:{first},{second}")
    done, stop = itertools.count(), asyncio.Event()

    async def load() -> None:
        while not stop.is_set():
            await stub.ReplayEvents(REQUEST, **call_options(1, 30.0))
            next(done)

    workers = [asyncio.create_task(load()) for _ in range(8)]
    for server, address in ((first_server, first), (second_server, second)):
        await server.drain(5.0)
        await loopback.serve(address=address)
        await eventually(partial(is_healthy, loopback.raw(address), "", SERVING))
    stop.set()
    await asyncio.gather(*workers)
    assert next(done) > 100


async def test_only_async_unary_handlers_can_be_registered() -> None:
    server = Server("127.0.0.1:0", tls=None, peers=None, domain="x.y")

    class Blocking(events_pb2_grpc.ReplayServiceServicer):
        def ReplayEvents(self, request: Any, context: Any) -> Any:
            return events_pb2.ReplayEventsResponse()

        async def ListHeads(self, request: Any, context: Any) -> Any:
            return events_pb2.ListHeadsResponse()

    with pytest.raises(TypeError, match="ReplayEvents must be an async method"):
        events_pb2_grpc.add_ReplayServiceServicer_to_server(Blocking(), server.grpc)
