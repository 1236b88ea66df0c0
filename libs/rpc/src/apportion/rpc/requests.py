"""The identity of a write, taken from its request message."""

from __future__ import annotations

import hashlib
from typing import Protocol
from uuid import UUID

from apportion.errors import RequestIdRequired, Violation
from apportion.rpc.caller import caller
from apportion.runtime.context import RequestKey


class WriteRequest(Protocol):
    """A request message of a write."""

    @property
    def request_id(self) -> str: ...

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802 (protobuf's name)


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in its canonical form of 36 characters, in either case."""
    if len(text) != 36:
        return False
    try:
        return str(UUID(text)) == text.lower()
    except ValueError:
        return False


def request_key(request: WriteRequest, method: str | None = None) -> RequestKey:
    """Label and method of the current call, the client's request id, and the SHA-256 of the whole message.

    Raises RequestIdRequired when `request.request_id` is not a UUID.
    """
    if not is_uuid(request.request_id):
        raise RequestIdRequired(violations=(Violation("request_id", "must be a UUID"),))
    call = caller()
    content = request.SerializeToString(deterministic=True)
    return RequestKey(
        label=call.label,
        method=method or call.method,
        request_id=request.request_id.lower(),
        input_hash=hashlib.sha256(content).digest(),
    )
