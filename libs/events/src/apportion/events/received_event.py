"""An event as consumers see it, and its one wire form: in stream entries and in replays alike."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from apportion.api.common.v1.events_pb2 import Event
from apportion.rpc import from_timestamp


class ReceivedEvent(NamedTuple):
    """A fact published by another service: number `sequence` of its aggregate.

    `payload` is the serialized message named by `type`; `occurred_time` is UTC; `event_id` is a UUID in text.
    """

    event_id: str
    label: int
    aggregate_type: str
    aggregate_id: str
    sequence: int
    type: str
    occurred_time: datetime
    partition: int
    payload: bytes


def stream_key(topic: str, partition: int) -> str:
    """The Redis stream of a topic's partition; a topic is an aggregate type."""
    return f"events:{topic}:{partition}"


def received(message: Event) -> ReceivedEvent:
    """Raises TimestampInvalid when the publisher sent nonsense."""
    return ReceivedEvent(
        event_id=message.event_id,
        label=message.label,
        aggregate_type=message.aggregate_type,
        aggregate_id=message.aggregate_id,
        sequence=message.sequence,
        type=message.type,
        occurred_time=from_timestamp(message.occurred_time, "occurred_time"),
        partition=message.partition,
        payload=message.payload,
    )
