"""What the event path tells its operators."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

DELAY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300)

PUBLISHED = Counter("apportion_events_published_total", "Events written to a stream, repeats included.", ["topic"])
RELAY_DELAY = Histogram(
    "apportion_events_relay_delay_seconds",
    "From the time of the oldest event of a batch to its stream entry.",
    buckets=DELAY_BUCKETS,
)
REPUBLISHED = Counter("apportion_events_republished_total", "Events written again after Redis lost its memory.")

APPLIED = Counter("apportion_events_applied_total", "Events applied exactly once.", ["consumer", "topic"])
APPLY_DELAY = Histogram(
    "apportion_events_apply_delay_seconds", "From an event's time to its commit here, the oldest of a transaction.",
    ["consumer"], buckets=DELAY_BUCKETS,
)  # fmt: skip
REPEATED = Counter("apportion_events_repeated_total", "Deliveries of an event that was applied.", ["consumer"])
UNKNOWN = Counter("apportion_events_unknown_type_total", "Events no handler wants.", ["consumer", "type"])
REPLAYED = Counter("apportion_events_replayed_total", "Events pulled from their owner.", ["consumer", "topic"])
GAPS = Counter("apportion_events_gaps_total", "Times a stream lacked the next event.", ["consumer", "topic"])
RETRIED = Counter("apportion_events_retried_total", "Attempts to apply that failed.", ["consumer", "reason"])
PARKED_TOTAL = Counter("apportion_events_parked_total", "Aggregates parked: an alarm.", ["consumer", "topic"])
PARKED = Gauge("apportion_events_parked_aggregates", "Aggregates now parked at this worker.", ["consumer"])
SET_ASIDE = Gauge(
    "apportion_events_set_aside_parts", "Parts of events set aside and not settled: an alarm.", ["consumer"]
)
LAG = Gauge("apportion_events_lag", "Events known to this worker and not applied yet.", ["consumer"])
HELD = Gauge("apportion_events_partitions_held", "Partitions this worker owns.", ["consumer"])
HOOK_FAILED = Counter("apportion_events_after_commit_failures_total", "Failed after-commit work.", ["consumer"])
STREAM_UP = Gauge("apportion_events_stream_up", "1 while the stream is read, 0 while polling the owners.", ["consumer"])
SWEEP_FAILED = Counter(
    "apportion_events_sweep_failures_total", "Owners that did not list heads.", ["consumer", "topic"]
)
