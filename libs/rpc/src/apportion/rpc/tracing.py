"""W3C trace context in and out of calls; spans are made only for calls that are sampled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from apportion.rpc.caller import Caller, caller_or_none

_propagator = TraceContextTextMapPropagator()
_NOT_SAMPLED = "-00"


@contextmanager
def server_span(call: Caller) -> Iterator[None]:
    """A span around a handler, child of the caller's; none when the caller decided not to sample."""
    if call.traceparent.endswith(_NOT_SAMPLED):
        yield
        return
    parent = _propagator.extract({"traceparent": call.traceparent})
    tracer = trace.get_tracer("apportion.rpc")
    with tracer.start_as_current_span(call.method, context=parent, kind=trace.SpanKind.SERVER) as span:
        span.set_attribute("rpc.peer", call.peer)
        span.set_attribute("label", call.label)
        yield


def outgoing_traceparent() -> str:
    """The traceparent for a call made now: of the current span, else the caller's decision passed on; may be empty."""
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    call = caller_or_none()
    return carrier.get("traceparent") or (call.traceparent if call is not None else "")


def current_trace_id() -> str:
    """Hex id of the current trace, or empty."""
    span = trace.get_current_span().get_span_context()
    return f"{span.trace_id:032x}" if span.is_valid else ""
