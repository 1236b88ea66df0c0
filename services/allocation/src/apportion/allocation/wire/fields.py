"""Fields that several messages have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message

from apportion.rpc import Problems


def given(message: Message, field: str, parse: Callable[[Any], Any] = lambda value: value) -> Any:
    """An optional field's value, None when it is not set."""
    return parse(getattr(message, field)) if message.HasField(field) else None


def parse_id(value: int, field: str) -> int:
    """An id that must be given."""
    problems = Problems()
    problems.positive(value, field)
    problems.raise_if_any()
    return value


def parse_filters(**ids: int) -> None:
    """Ids that filter a list, or an index: 0 is none."""
    problems = Problems()
    for field, value in ids.items():
        problems.not_negative(value, field)
    problems.raise_if_any()
