"""Unary calls through `apportion.rpc` on both sides against grpc.aio alone."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import grpc
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio
from tests.bench.measure import Row, duration, in_turn_async, latency, rate
from tests.bench.processes import on_client_core, serving
from tests.bench.servers import Servers

from apportion.api.platform_groups.v1 import accounts_pb2, accounts_pb2_grpc
from apportion.rpc import Server, call_options, open_channel
from apportion.runtime import telemetry

DOMAIN = "bench.apportion"
PEER = "operator"
IN_FLIGHT = (8, 64)
SECONDS = 0.8
UNARY_CALLS = 400
SAMPLED = 100
"""One call in so many is traced."""

REQUEST = accounts_pb2.GetAccountRequest(account_id=7)
ANSWER = accounts_pb2.GetAccountResponse(
    account=accounts_pb2.Account(account_id=7, login=432450857, currency_code="USD", leverage=100, holder_name="Ann")
)

Call = Callable[[], Awaitable[object]]


class Echo(accounts_pb2_grpc.AccountsServiceServicer):
    async def GetAccount(self, request: accounts_pb2.GetAccountRequest, context: object) -> Any:
        return ANSWER

    async def _unused(self, request: object, context: object) -> Any:
        raise AssertionError("nobody calls this method")

    CreateAccount = ListAccounts = GetAccountStates = SetAccountAccess = ResetAccountPasswords = _unused


class Nowhere(SpanExporter):
    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def on_end(self, span: ReadableSpan) -> None:
        """Nothing to keep."""


async def serve_bare() -> tuple[str, object]:
    server = grpc.aio.server()
    accounts_pb2_grpc.add_AccountsServiceServicer_to_server(Echo(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return f"127.0.0.1:{port}", server


async def serve_ours() -> tuple[str, object]:
    """Allow list, label, deadline, pool and metrics; tracing on, and the callers sample."""
    provider = TracerProvider(sampler=ParentBasedTraceIdRatio(1 / SAMPLED))
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    telemetry.use(provider)
    peers = {PEER: ["/apportion.api.platform_groups.v1.AccountsService/*"]}
    server = Server("127.0.0.1:0", tls=None, peers=peers, domain=DOMAIN, trust_metadata_peer=True)
    accounts_pb2_grpc.add_AccountsServiceServicer_to_server(Echo(), server.grpc)
    return await server.start(), server


def bare_call(channel: grpc.aio.Channel) -> Call:
    method = accounts_pb2_grpc.AccountsServiceStub(channel).GetAccount
    return lambda: method(REQUEST)


def our_call(channel: grpc.aio.Channel) -> Call:
    method = accounts_pb2_grpc.AccountsServiceStub(channel).GetAccount
    numbers = itertools.count()

    def call() -> Awaitable[object]:
        options = call_options(1, 5.0)
        number = next(numbers)
        sampled = "01" if number % SAMPLED == 0 else "00"
        trace = ("traceparent", f"00-{number + 1:032x}-{number + 1:016x}-{sampled}")
        return method(REQUEST, timeout=options["timeout"], metadata=(*options["metadata"], trace))

    return call


async def calls_a_second(call: Call, in_flight: int) -> float:
    until = time.perf_counter() + SECONDS

    async def caller() -> int:
        count = 0
        while time.perf_counter() < until:
            await call()
            count += 1
        return count

    started = time.perf_counter()
    counts = await asyncio.gather(*(caller() for _ in range(in_flight)))
    return sum(counts) / (time.perf_counter() - started)


async def unary_seconds(call: Call) -> float:
    """One call, one in flight."""
    return await latency(call, UNARY_CALLS)


async def rows(_servers: Servers) -> list[Row]:
    found = []
    with serving(serve_bare) as bare_address, serving(serve_ours) as our_address, on_client_core():
        bare_channel = grpc.aio.insecure_channel(bare_address)
        our_channel = open_channel(our_address, tls=None, service=DOMAIN, peer=PEER)
        ours, bare = our_call(our_channel), bare_call(bare_channel)
        for count in IN_FLIGHT:
            mine, floor, ratio = await in_turn_async(
                partial(calls_a_second, ours, count), partial(calls_a_second, bare, count)
            )
            name = f"unary RPC, guard, metrics, sampled tracing, {count} in flight"
            found.append(Row(name, rate(mine), f"grpc.aio {rate(floor)}", ratio, 0.85, 0.65))
        mine, floor, ratio = await in_turn_async(lambda: unary_seconds(ours), lambda: unary_seconds(bare))
        found.append(Row("… one in flight, p50", duration(mine), f"grpc.aio {duration(floor)}", ratio, 1.2, 1.6))
        await our_channel.close()
        await bare_channel.close()
    return found
