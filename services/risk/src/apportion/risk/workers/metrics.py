"""What a dashboard and an alarm need of this service."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

TRIPS = Counter("apportion_risk_trips_total", "Limits that tripped.")
DECISION_SECONDS = Histogram(
    "apportion_risk_decision_seconds",
    "From the moment the trading server was read to the committed trip.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
ALARMS = Gauge("apportion_risk_alarms", "Armed limits whose figures are doubted now.", ["trading_server"])
STATES_AGE = Gauge(
    "apportion_risk_states_age_seconds",
    "Age of the newest account states, heard or asked for; without any, the time since the watch began.",
    ["trading_server"],
)
PRICES_LAG = Gauge(
    "apportion_risk_prices_lag_seconds",
    "How much older, by the server's clock, its newest price is than the account states; 0 while none is known.",
    ["trading_server"],
)
STATES_ASKED = Counter(
    "apportion_risk_states_asked_total",
    "Account states asked of platform-groups because none were heard.",
    ["trading_server"],
)
FAILING = Gauge("apportion_risk_failing_trips", "Trips whose last step failed; above 0, somebody has to look.")


def forget(trading_server_id: int) -> None:
    """Another worker watches the server by now: an old figure must not stand beside the new one."""
    for figure in (ALARMS, STATES_AGE, PRICES_LAG):
        figure.remove_by_labels({"trading_server": str(trading_server_id)})
