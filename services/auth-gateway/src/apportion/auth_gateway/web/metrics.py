"""What the gateway counts. Labels come from fixed sets only: never from input."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

CALLS = Counter(
    "apportion_gateway_calls_total", "Calls by method and outcome (ok or the reason).", ["method", "outcome"]
)
CALL_SECONDS = Histogram(
    "apportion_gateway_call_seconds",
    "Time of one call, from its envelope to its answer.",
    ["method"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
REFUSED = Counter("apportion_gateway_refused_total", "Requests that never became a call, by reason.", ["reason"])
LINKS = Counter("apportion_gateway_links_total", "Redirect links followed, by outcome.", ["outcome"])
IN_FLIGHT = Gauge("apportion_gateway_in_flight", "Requests being answered.")


@lru_cache(maxsize=1_000)
def _recorders(method: str, outcome: str) -> tuple[Callable[[], None], Callable[[float], None]]:
    return CALLS.labels(method, outcome).inc, CALL_SECONDS.labels(method).observe


def record_call(method: str, outcome: str, seconds: float) -> None:
    """Count one call. Looking the labels up each time would cost more than the counting."""
    count, observe = _recorders(method, outcome)
    count()
    observe(seconds)
