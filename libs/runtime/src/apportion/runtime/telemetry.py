"""Distributed traces, sampled at the edge. Off unless an OTLP endpoint is set."""

from __future__ import annotations

from opentelemetry import trace

_tracing = False


def tracing_on() -> bool:
    """Whether spans go anywhere; hot paths skip all work when they do not."""
    return _tracing


def configure(service: str, endpoint: str | None, sample_ratio: float = 0.01) -> None:
    """Export spans of this process to an OTLP collector; a caller's sampling decision is kept."""
    if endpoint is None:
        return
    # The SDK and its exporter cost 100 ms of start-up: only a process that traces pays for them.
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    provider = TracerProvider(
        resource=Resource.create({"service.name": service}), sampler=ParentBasedTraceIdRatio(sample_ratio)
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, insecure=True)))
    use(provider)


def use(provider: trace.TracerProvider) -> None:
    """Trace with this provider from now on."""
    global _tracing
    trace.set_tracer_provider(provider)
    _tracing = True


def shut_down() -> None:
    """Send what is queued."""
    provider = trace.get_tracer_provider()
    if _tracing and hasattr(provider, "shutdown"):
        provider.shutdown()
