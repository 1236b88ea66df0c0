"""Channels to other services: mutual TLS, health-checked round robin, retries, typed errors."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Generator
from types import TracebackType
from typing import Any, Self, TypedDict

import grpc
from prometheus_client import Counter

from apportion.errors import DeadlineExceeded, DeadlineRequired
from apportion.rpc.admission import LABEL_KEY, PEER_KEY, TRACE_KEY
from apportion.rpc.caller import caller_or_none
from apportion.rpc.status import error_of
from apportion.rpc.tls import Tls, channel_credentials
from apportion.rpc.tracing import outgoing_traceparent
from apportion.runtime.telemetry import tracing_on

FAILURES = Counter("apportion_rpc_client_failures_total", "Calls that failed.", ["service", "reason"])

HOP_SECONDS = 0.02
"""What a server keeps of its caller's time for its own answer to travel back."""

RENEWAL_LOOK_SECONDS = 5.0
CLOSE_SECONDS = 30.0

Metadata = tuple[tuple[str, str], ...]


class CallOptions(TypedDict):
    """Keyword arguments of every stub call."""

    timeout: float
    metadata: Metadata


def call_options(label: int, seconds: float) -> CallOptions:
    """`await stub.GetMaster(request, **call_options(label, 2.0))`: deadline and label of an outgoing call.

    Inside a handler the deadline also ends 20 ms before the caller's; raises DeadlineExceeded when that is over.
    """
    call = caller_or_none()
    if call is not None:
        seconds = min(seconds, call.remaining_seconds - HOP_SECONDS)
        if seconds <= 0:
            raise DeadlineExceeded("no time is left for a call to another service")
    metadata: Metadata = ((LABEL_KEY, str(label)),)
    if tracing_on() and (traceparent := outgoing_traceparent()):
        metadata += ((TRACE_KEY, traceparent),)
    return {"timeout": seconds, "metadata": metadata}


def open_channel(
    target: str, *, tls: Tls | None, service: str, peer: str | None = None, max_message_bytes: int = 1 << 20
) -> grpc.aio.Channel:
    """A channel to `service` at `target` ("host:port" or a gRPC name); close it with `await channel.close()`.

    The server must prove the name `service` by its certificate; our own is read again when its files change.
    A failed call raises the DomainError it stands for; a call without timeout raises DeadlineRequired.
    `peer` names the caller to a server without TLS that trusts it (tests only).
    """
    options = _options(max_message_bytes)
    extra: Metadata = ((PEER_KEY, peer),) if tls is None and peer is not None else ()
    if tls is None:
        return _Channel(grpc.aio.insecure_channel(target, options=options), service, extra)
    options.append(("grpc.ssl_target_name_override", service))

    def connect(identity: Tls) -> grpc.aio.Channel:
        return grpc.aio.secure_channel(target, channel_credentials(identity), options=options)

    return _Channel(connect(tls), service, extra, _Renewal(tls, connect))


class _Renewal:
    """Replaces a channel after its certificate files changed; looks at them at most every few seconds."""

    def __init__(self, tls: Tls, connect: Callable[[Tls], grpc.aio.Channel]) -> None:
        self._tls = tls
        self._connect = connect
        self._seen = tls.stamps()
        self._next_look = time.monotonic() + RENEWAL_LOOK_SECONDS

    def replacement(self) -> grpc.aio.Channel | None:
        """A channel with the new certificate, or None while nothing changed."""
        now = time.monotonic()
        if now < self._next_look:
            return None
        self._next_look = now + RENEWAL_LOOK_SECONDS
        try:
            stamps = self._tls.stamps()
            if stamps == self._seen:
                return None
            fresh = self._connect(self._tls)
        except OSError:
            return None  # half-way through a renewal
        self._seen = stamps
        return fresh


class _Call:
    """A call in flight: awaiting it gives the answer or raises the DomainError."""

    __slots__ = ("_inner", "_service")

    def __init__(self, inner: grpc.aio.UnaryUnaryCall[Any, Any], service: str) -> None:
        self._inner = inner
        self._service = service

    def __await__(self) -> Generator[Any, None, Any]:
        try:
            return (yield from self._inner.__await__())
        except grpc.aio.AioRpcError as failure:
            error = error_of(failure, self._service)
            FAILURES.labels(self._service, error.reason).inc()
            raise error from failure

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class _Channel(grpc.aio.Channel):
    """Adds the house rules of a caller to each unary method of a plain channel."""

    def __init__(self, inner: grpc.aio.Channel, service: str, extra: Metadata, renewal: _Renewal | None = None) -> None:
        self._inner = inner
        self._service = service
        self._extra = extra
        self._renewal = renewal
        self._closing: set[asyncio.Task[None]] = set()

    def _current(self) -> grpc.aio.Channel:
        fresh = self._renewal.replacement() if self._renewal is not None else None
        if fresh is not None:
            closing = asyncio.ensure_future(self._inner.close(CLOSE_SECONDS))  # lets calls in flight finish
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)
            self._inner = fresh
        return self._inner

    def unary_unary(self, method: str, *serializers: Any, **options: Any) -> Any:
        inner = self._inner
        start = inner.unary_unary(method, *serializers, **options)
        service, extra = self._service, self._extra

        def call(request: Any, *, timeout: float | None = None, metadata: Metadata = (), **rest: Any) -> _Call:
            nonlocal inner, start
            if timeout is None:
                raise DeadlineRequired(method=method)
            current = self._current()
            if current is not inner:
                inner, start = current, current.unary_unary(method, *serializers, **options)
            return _Call(start(request, timeout=timeout, metadata=metadata + extra, **rest), service)

        return call

    def unary_stream(self, method: str, *serializers: Any, **options: Any) -> Any:
        return self._inner.unary_stream(method, *serializers, **options)

    def stream_unary(self, method: str, *serializers: Any, **options: Any) -> Any:
        return self._inner.stream_unary(method, *serializers, **options)

    def stream_stream(self, method: str, *serializers: Any, **options: Any) -> Any:
        return self._inner.stream_stream(method, *serializers, **options)

    async def close(self, grace: float | None = None) -> None:
        await asyncio.gather(self._inner.close(grace), *self._closing)

    def get_state(self, try_to_connect: bool = False) -> grpc.ChannelConnectivity:
        return self._inner.get_state(try_to_connect)

    async def wait_for_state_change(self, last_observed_state: grpc.ChannelConnectivity) -> None:
        await self._inner.wait_for_state_change(last_observed_state)

    async def channel_ready(self) -> None:
        await self._inner.channel_ready()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.close()


SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": ""},
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1},
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {  # safe for writes too: each carries a request id
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
}


def _options(max_message_bytes: int) -> list[tuple[str, int | str]]:
    return [
        ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        ("grpc.max_metadata_size", 16 * 1024),  # answers: statuses with many details
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
