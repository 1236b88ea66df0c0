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

    @property
    def is_transient(self) -> bool:
        """Whether the same call may succeed later, so that its caller waits and repeats instead of giving up.

        INTERNAL of a peer counts: what failed there is mostly one broken process or release, its repair or
        replacement answers the same call, and to take its bug for our refusal would drop work that was never refused.
        """
        return self in _TRANSIENT


_TRANSIENT = frozenset({Kind.CONFLICT, Kind.EXHAUSTED, Kind.UNAVAILABLE, Kind.DEADLINE, Kind.INTERNAL})
