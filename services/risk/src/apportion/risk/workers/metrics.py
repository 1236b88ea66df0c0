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
WEATHER_AGE = Gauge("apportion_risk_weather_age_seconds", "Age of the newest account states.", ["trading_server"])
FAILING = Gauge("apportion_risk_failing_trips", "Trips whose last step failed; above 0, somebody has to look.")
