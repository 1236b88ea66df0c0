"""What one call carries through all layers without appearing in every signature."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

replayed: ContextVar[bool] = ContextVar("replayed", default=False)
"""True once the answer of this call was read from a stored one; the server then sends the trailer `x-replayed: 1`."""


@dataclass(frozen=True, slots=True)
class RequestKey:
    """Identity of a write: who asked (label), for what (method, client-made id) and the SHA-256 of the content."""

    label: int
    method: str
    request_id: str
    input_hash: bytes
