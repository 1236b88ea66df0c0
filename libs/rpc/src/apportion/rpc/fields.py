"""Optional fields of messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message


def given(message: Message, field: str, parse: Callable[[Any], Any] = lambda value: value) -> Any:
    """An optional field's value, None when it is not set."""
    return parse(getattr(message, field)) if message.HasField(field) else None
