"""Events between services: outbox relay, streams, exactly-once consumers, replay, weather."""

from __future__ import annotations

from apportion.events.consumer import Consumer
from apportion.events.inbox import AggregateKey, list_parked, unpark
from apportion.events.lane import AfterCommit, EventsMissing, Handler
from apportion.events.received_event import ReceivedEvent, stream_key
from apportion.events.redis import Redis
from apportion.events.relay import Relay
from apportion.events.replay import Head, ReplayPort, ReplayServicer, replay_port
from apportion.events.weather import WeatherCell, publish_weather

__all__ = [
    "AfterCommit",
    "AggregateKey",
    "Consumer",
    "EventsMissing",
    "Handler",
    "Head",
    "ReceivedEvent",
    "Redis",
    "Relay",
    "ReplayPort",
    "ReplayServicer",
    "WeatherCell",
    "list_parked",
    "publish_weather",
    "replay_port",
    "stream_key",
    "unpark",
]
