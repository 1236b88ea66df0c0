"""Who is calling, for which label, and how long they will wait."""

from __future__ import annotations

import time
from contextvars import ContextVar
from typing import NamedTuple

SUITE_LABEL = 0
"""The label of calls that serve no single broker, such as a replay of events. No row carries it."""


class Caller(NamedTuple):
    """The call being answered.

    `peer` is proven by its certificate. `deadline` is on the monotonic clock; `is_cut` tells that the caller
    would wait longer than this server works on one call.
    """

    peer: str
    label: int
    method: str
    deadline: float
    is_cut: bool = False
    traceparent: str = ""

    @property
    def remaining_seconds(self) -> float:
        """Seconds until the caller stops waiting; negative when it has."""
        return self.deadline - time.monotonic()


_current: ContextVar[Caller] = ContextVar("caller")


def caller() -> Caller:
    """The caller of the RPC that this task answers; raises LookupError outside a handler."""
    return _current.get()


def caller_or_none() -> Caller | None:
    """The caller, or None in background work."""
    return _current.get(None)


def enter_call(call: Caller) -> None:
    """Make `call` the current one for the rest of this task: gRPC runs each RPC in a task of its own."""
    _current.set(call)
