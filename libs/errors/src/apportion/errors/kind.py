"""The kinds of failure: what a caller may do next, one level above any transport."""

from __future__ import annotations

import enum


class Kind(enum.Enum):
    """How a caller should treat a refusal. The gRPC code is chosen from it in one place, `apportion.rpc`."""

    INVALID = "wrong whatever the state: change the request"
    NOT_FOUND = "no such thing, or not yours"
    ALREADY_EXISTS = "it is there already, with other content"
    CONFLICT = "repeat the whole read, modify and write"
    PRECONDITION = "do not repeat until the state changes"
    DENIED = "this caller may not do this"
    UNAUTHENTICATED = "who are you"
    EXHAUSTED = "a limit is reached: repeat later"
    UNAVAILABLE = "repeat this call"
    DEADLINE = "time ran out; the outcome of a write is unknown: repeat with the same request id"
    INTERNAL = "a bug or broken data on the other side"
