"""What happens around every handler, in one wrapper made once per method: the hot path of all services.

Outermost first: metrics → errors become statuses → peer, label and deadline → concurrency → decode → trace →
handler → encode. One function rather than a chain of interceptors: an echo call costs a quarter of a
millisecond, and each link of a chain would add to every call of every service.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NoReturn, TypeAlias
from uuid import uuid4

import grpc
import structlog
from google.protobuf.message import DecodeError
from prometheus_client import Counter, Histogram

from apportion.errors import DeadlineExceeded, DomainError, InternalError, Kind, MalformedMessage
from apportion.rpc import tracing
from apportion.rpc.admission import Admission, Context
from apportion.rpc.caller import Caller, enter_call
from apportion.rpc.peers import matches
from apportion.rpc.pool import Pool
from apportion.rpc.status import CODES, message_of, trailers_of
from apportion.runtime.context import replayed
from apportion.runtime.telemetry import tracing_on

log = structlog.get_logger()

REPLAYED_TRAILERS = (("x-replayed", "1"),)

SECONDS = Histogram(
    "apportion_rpc_server_seconds",
    "Time to answer a call, well or not.",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0),
)
FAILURES = Counter(
    "apportion_rpc_server_failures_total",
    "Calls that did not end well, by gRPC code and reason.",
    ["method", "code", "reason"],
)

LOUD = frozenset({Kind.DENIED, Kind.UNAVAILABLE, Kind.INTERNAL})

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Work = Callable[[Any, Context], Awaitable[Any]]


class Guard:
    """The rules of one server. `domain` is the `ErrorInfo.domain` of its refusals."""

    def __init__(
        self, domain: str, admission: Admission, pool: Pool, critical_pool: Pool, critical_methods: Sequence[str]
    ) -> None:
        self._domain = domain
        self._admission = admission
        self._pool = pool
        self._critical_pool = critical_pool
        self._critical_methods = tuple(critical_methods)

    def around(self, method: str, handler: Handler) -> Handler:
        """The guarded twin of a unary handler; raises TypeError for a stream or a handler that is not async."""
        work: Any = handler.unary_unary
        if not asyncio.iscoroutinefunction(work):
            raise TypeError(f"{method} must be an async method with one request and one response")
        pool = self._critical_pool if matches(method, self._critical_methods) else self._pool
        admit = self._admission.admit
        parse = handler.request_deserializer or bytes
        render = handler.response_serializer or bytes
        observe = SECONDS.labels(method).observe

        async def answer(data: bytes, context: Context) -> bytes:
            started = time.perf_counter()
            call: Caller | None = None
            try:
                call = admit(method, context)
                with pool:
                    request = _parsed(parse, data)
                    enter_call(call)
                    if call.is_cut or tracing_on():
                        response = await _watched(work, request, context, call)
                    else:
                        response = await work(request, context)
                    body: bytes = render(response)
                if replayed.get():
                    context.set_trailing_metadata(REPLAYED_TRAILERS)
            except asyncio.CancelledError as error:
                if not _is_cancelled():
                    await self._refuse(method, context, call, error)
                FAILURES.labels(method, "CANCELLED", "").inc()
                raise
            except Exception as error:
                await self._refuse(method, context, call, error)
            finally:
                observe(time.perf_counter() - started)
            return body

        return grpc.unary_unary_rpc_method_handler(answer)

    def peers_only(self, method: str, handler: Handler) -> Handler:
        """The twin of a handler of the gRPC project's own services: only the allow list applies."""
        inner: Any = handler.unary_unary or handler.stream_stream

        async def check(context: Context) -> None:
            try:
                self._admission.check_peer(method, context)
            except DomainError as error:
                await self._refuse(method, context, None, error)

        async def answer(request: Any, context: Context) -> Any:
            await check(context)
            return await inner(request, context)

        async def answers(requests: Any, context: Context) -> AsyncIterator[Any]:
            await check(context)
            async for response in inner(requests, context):
                yield response

        serializers = (handler.request_deserializer, handler.response_serializer)
        if handler.unary_unary is not None:
            return grpc.unary_unary_rpc_method_handler(answer, *serializers)
        return grpc.stream_stream_rpc_method_handler(answers, *serializers)

    async def _refuse(self, method: str, context: Context, call: Caller | None, error: BaseException) -> NoReturn:
        """End the call with the status of the error; the stack of a bug goes to the log, once, and nowhere else."""
        if isinstance(error, grpc.aio.AbortError):
            raise error
        request_id = tracing.current_trace_id() or uuid4().hex
        facts = {"method": method, "request_id": request_id}
        if call is not None:
            facts |= {"peer": call.peer, "label": str(call.label)}
        if isinstance(error, DomainError):
            refusal = error
            if error.kind is not Kind.EXHAUSTED:  # an overload is counted; logging it would add to it
                level = log.warning if error.kind in LOUD else log.info
                level("call_refused", reason=error.reason, message=error.message, **facts)
        else:
            refusal = InternalError("internal error")
            log.error("call_failed", exc_info=error, **facts)
        code = CODES[refusal.kind]
        FAILURES.labels(method, code.name, refusal.reason).inc()
        trailers = trailers_of(refusal, self._domain, request_id)
        await context.abort(code, message_of(refusal), trailers)


def _is_cancelled() -> bool:
    """Whether this call was cancelled, rather than something it awaited: gRPC would leave that caller unanswered."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _parsed(parse: Callable[[bytes], Any], data: bytes) -> Any:
    try:
        return parse(data)
    except DecodeError:
        raise MalformedMessage from None


async def _watched(work: Work, request: Any, context: Context, call: Caller) -> Any:
    """The handler under our own time limit and, when traces are on, inside a span."""
    limit = asyncio.timeout(call.remaining_seconds if call.is_cut else None)
    with tracing.server_span(call):
        try:
            async with limit:
                return await work(request, context)
        except TimeoutError:
            if limit.expired():
                raise DeadlineExceeded("the call took longer than this server works on one call") from None
            raise
