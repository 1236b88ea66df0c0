"""Events between services: outbox relay, streams, exactly-once consumers, replay, weather."""

from __future__ import annotations

from apportion.events.consumer import Consumer
from apportion.events.inbox import AggregateKey, list_parked, unpark
from apportion.events.lane import AfterCommit, Handler, Patience, Preparation
from apportion.events.received_event import ReceivedEvent, stream_key
from apportion.events.redis import Redis, Script
from apportion.events.redis_connection import RedisUnavailable
from apportion.events.relay import Relay
from apportion.events.replay import Head, ReplayPort, ReplayServicer, replay_port
from apportion.events.set_aside import SetAsidePart, list_set_aside, set_aside, settle_set_aside
from apportion.events.weather import WeatherCell, publish_weather

__all__ = [
    "AfterCommit",
    "AggregateKey",
    "Consumer",
    "Handler",
    "Head",
    "Patience",
    "Preparation",
    "ReceivedEvent",
    "Redis",
    "RedisUnavailable",
    "Relay",
    "ReplayPort",
    "ReplayServicer",
    "Script",
    "SetAsidePart",
    "WeatherCell",
    "list_parked",
    "list_set_aside",
    "publish_weather",
    "replay_port",
    "set_aside",
    "settle_set_aside",
    "stream_key",
    "unpark",
]
