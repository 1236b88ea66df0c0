"""Structured logs: one JSON line per event, snake_case event names, UTC times, secrets never."""

from __future__ import annotations

import logging
import logging.config
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from opentelemetry import trace

_SECRET = re.compile(
    r"password|passwd|secret|token|credential|authorization|private_key|api_key|pepper|_url$", re.IGNORECASE
)
REDACTED = "[redacted]"

Event = MutableMapping[str, Any]


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Replace each value whose key names a secret: a slip in one log call must not leak one."""
    for key in event:
        if _SECRET.search(key):
            event[key] = REDACTED
    return event


def add_trace(_logger: object, _method: str, event: Event) -> Event:
    """Join logs to traces by id."""
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        event["trace_id"] = f"{span.trace_id:032x}"
        event["span_id"] = f"{span.span_id:016x}"
    return event


def configure(service: str, level: str = "info", *, development: bool = False) -> None:
    """Send structlog and the standard library's logging, of all packages, to stderr in one form."""

    def add_service(_logger: object, _method: str, event: Event) -> Event:
        event["service"] = service
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
        add_trace,
        redact,
    ]
    renderers: list[structlog.typing.Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)]
        if development
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    )
    lowest = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(lowest),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(lowest)
