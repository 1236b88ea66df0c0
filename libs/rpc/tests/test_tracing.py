"""Spans of sampled calls, joined across services; nothing for the others."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

from apportion.api.common.v1 import events_pb2
from apportion.errors import NotFound
from apportion.rpc import call_options, caller
from apportion.runtime import telemetry

REQUEST = events_pb2.ReplayEventsRequest(aggregate_type="deals")
METHOD = "/apportion.api.common.v1.ReplayService/ReplayEvents"
EXPORTER = InMemorySpanExporter()
PROVIDER = TracerProvider(sampler=ParentBasedTraceIdRatio(1.0))
PROVIDER.add_span_processor(SimpleSpanProcessor(EXPORTER))


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    """Traces on for one test; the provider itself can be set only once in a process."""
    monkeypatch.setattr(telemetry, "_tracing", False)
    if trace.get_tracer_provider() is not PROVIDER:
        telemetry.use(PROVIDER)
    monkeypatch.setattr(telemetry, "_tracing", True)
    EXPORTER.clear()
    return EXPORTER


async def test_a_call_made_inside_a_span_continues_its_trace(loopback: Any, spans: InMemorySpanExporter) -> None:
    stub = loopback.stub(await loopback.serve())
    with trace.get_tracer("test").start_as_current_span("outer") as outer:
        await stub.ReplayEvents(REQUEST, **call_options(7, 2.0))
    server_span = next(span for span in spans.get_finished_spans() if span.name == METHOD)
    assert server_span.parent is not None
    assert server_span.parent.span_id == outer.get_span_context().span_id
    assert dict(server_span.attributes or {}) == {"rpc.peer": "fees", "label": 7}


async def test_a_call_its_caller_did_not_sample_makes_no_span(loopback: Any, spans: InMemorySpanExporter) -> None:
    outgoing: list[Any] = []

    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        outgoing.append((caller().traceparent, call_options(7, 1.0)["metadata"]))
        return events_pb2.ReplayEventsResponse()

    unsampled = f"00-{'a' * 32}-{'b' * 16}-00"
    channel = loopback.raw(await loopback.serve(behave))
    metadata = (("x-label", "7"), ("traceparent", unsampled))
    await channel.unary_unary(METHOD)(b"", timeout=2, metadata=metadata)
    assert not spans.get_finished_spans()
    assert outgoing == [(unsampled, (("x-label", "7"), ("traceparent", unsampled)))]


async def test_a_failed_call_ends_its_span(loopback: Any, spans: InMemorySpanExporter) -> None:
    async def behave(request: events_pb2.ReplayEventsRequest) -> events_pb2.ReplayEventsResponse:
        raise NotFound("master", 5)

    stub = loopback.stub(await loopback.serve(behave))
    with pytest.raises(NotFound):
        await stub.ReplayEvents(REQUEST, **call_options(7, 2.0))
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is trace.StatusCode.ERROR


async def test_without_tracing_nothing_is_sent_or_made(loopback: Any) -> None:
    stub = loopback.stub(await loopback.serve())
    assert call_options(7, 2.0)["metadata"] == (("x-label", "7"),)
    await stub.ReplayEvents(REQUEST, **call_options(7, 30.0))
