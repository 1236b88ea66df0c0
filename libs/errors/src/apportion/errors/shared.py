"""Reasons that every service may give. They keep their class across the wire.

DomainError
├── INVALID          InvalidArgument, MalformedMessage, TimestampInvalid, RequestIdRequired, PageTokenInvalid,
│                    DeadlineRequired, LabelRequired
├── NOT_FOUND        NotFound
├── ALREADY_EXISTS   IdempotencyKeyReused
├── CONFLICT         VersionConflict, IdempotencyInProgress, StaleEpoch
├── PRECONDITION     KillSwitchOn, EventsMissing
├── DENIED           PeerNotAllowed
├── EXHAUSTED        Overloaded
├── UNAVAILABLE      Draining, DatabaseUnavailable, UpstreamUnavailable
├── DEADLINE         DeadlineExceeded
├── INTERNAL         InternalError
└── (any)            RemoteError: a reason of another service, known only by its text
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

from apportion.errors.domain_error import DomainError, Violation, registry
from apportion.errors.kind import Kind


class InvalidArgument(DomainError):
    """One or more fields are invalid."""

    kind = Kind.INVALID
    reason = "FIELD_INVALID"
    cure = "Correct each listed field; the request cannot succeed as it is."


class MalformedMessage(DomainError):
    """The request is not a valid protobuf message."""

    kind = Kind.INVALID
    reason = "MALFORMED_MESSAGE"
    cure = "Encode the request with the published protos."


class TimestampInvalid(DomainError):
    """A timestamp is outside the range of years 0001 to 9999 or has invalid nanoseconds."""

    kind = Kind.INVALID
    reason = "TIMESTAMP_INVALID"
    cure = "Send a normalised Timestamp: nanos from 0 to 999,999,999, year at most 9999."


class RequestIdRequired(DomainError):
    """A write came without a request id that is a UUID."""

    kind = Kind.INVALID
    reason = "REQUEST_ID_REQUIRED"
    cure = "Make a UUID once per intent, send it as request_id, and repeat the same one on a retry."


class PageTokenInvalid(DomainError):
    """The page token was altered or belongs to another query."""

    kind = Kind.INVALID
    reason = "PAGE_TOKEN_INVALID"
    cure = "Start again from the first page, with the same filters on every page."


class DeadlineRequired(DomainError):
    """The call has no deadline."""

    kind = Kind.INVALID
    reason = "DEADLINE_REQUIRED"
    cure = "Give every call a timeout."


class LabelRequired(DomainError):
    """The x-label metadata is missing, repeated or not a positive number."""

    kind = Kind.INVALID
    reason = "LABEL_REQUIRED"
    cure = "Send exactly one x-label metadata entry with the broker's label number."


class NotFound(DomainError):
    """The thing named does not exist, or belongs to another label."""

    kind = Kind.NOT_FOUND
    reason = "NOT_FOUND"
    cure = "Check the id and the label."

    def __init__(self, resource: str, key: object) -> None:
        super().__init__(f"{resource} {key} not found", resource=resource, key=key)


class IdempotencyKeyReused(DomainError):
    """The request id was used before with other content."""

    kind = Kind.ALREADY_EXISTS
    reason = "IDEMPOTENCY_KEY_REUSED"
    cure = "Make a new request id for a new intent; repeat an old one only with the same content."


class IdempotencyInProgress(DomainError):
    """A call with the same request id is still running."""

    kind = Kind.CONFLICT
    reason = "IDEMPOTENCY_IN_PROGRESS"
    cure = "Repeat the same call after the given delay to read its answer."
    default_retry_after_seconds = 0.5


class VersionConflict(DomainError):
    """The row changed since it was read."""

    kind = Kind.CONFLICT
    reason = "VERSION_CONFLICT"
    cure = "Read again, decide again, write again."


class StaleEpoch(DomainError):
    """The writer's lease has passed to another worker."""

    kind = Kind.CONFLICT
    reason = "STALE_EPOCH"
    cure = "None by the caller: the new owner of the lease does the work."


class KillSwitchOn(DomainError):
    """A kill switch stops opening and paying calls in this scope; closing goes on."""

    kind = Kind.PRECONDITION
    reason = "KILL_SWITCH_ON"
    cure = "Wait until the switch is released."


class EventsMissing(DomainError):
    """The owner cannot replay an event that it once announced: its retention is over, or it was lost."""

    kind = Kind.PRECONDITION
    reason = "EVENTS_MISSING"
    cure = "Agree on the state by hand and set the consumer's cursor, or restore the owner's outbox."


class PeerNotAllowed(DomainError):
    """The calling service may not use this method."""

    kind = Kind.DENIED
    reason = "PEER_NOT_ALLOWED"
    cure = "Add the method to the peer's allow list in the called service, if it should be there."


class Overloaded(DomainError):
    """The server runs as many calls as it can."""

    kind = Kind.EXHAUSTED
    reason = "OVERLOADED"
    cure = "Repeat after the given delay; add replicas if it lasts."
    default_retry_after_seconds = 0.25


class Draining(DomainError):
    """The server is shutting down and takes no new work."""

    kind = Kind.UNAVAILABLE
    reason = "DRAINING"
    cure = "Repeat: another replica will answer."
    default_retry_after_seconds = 0.05


class DatabaseUnavailable(DomainError):
    """The database cannot be reached."""

    kind = Kind.UNAVAILABLE
    reason = "DB_UNAVAILABLE"
    cure = "Repeat with the same request id; look at the database if it lasts."
    default_retry_after_seconds = 0.5


class UpstreamUnavailable(DomainError):
    """A service that this one needs cannot be reached."""

    kind = Kind.UNAVAILABLE
    reason = "UPSTREAM_UNAVAILABLE"
    cure = "Repeat with the same request id; look at the named service if it lasts."
    default_retry_after_seconds = 0.5


class DeadlineExceeded(DomainError):
    """The deadline of the call passed; whether a write happened is not known."""

    kind = Kind.DEADLINE
    reason = "DEADLINE_EXCEEDED"
    cure = "Repeat with the same request id and more time."


class InternalError(DomainError):
    """Something broke inside the called service; its log has the cause."""

    kind = Kind.INTERNAL
    reason = "INTERNAL"
    cure = "Look up the request id in the log of the called service."


class RemoteError(DomainError):
    """Another service refused with a reason of its own; branch on `reason`."""

    cure = "See the reason in docs/errors.md."

    def __init__(
        self,
        kind: Kind,
        reason: str,
        message: str,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[Violation] = (),
        retry_after_seconds: float | None = None,
    ) -> None:
        super().__init__(message, violations=violations, retry_after_seconds=retry_after_seconds)
        self.metadata = dict(metadata or {})
        self.kind = kind  # type: ignore[misc]  # the only error whose kind and reason are data, not class facts
        self.reason = reason  # type: ignore[misc]


@cache
def shared_reasons() -> Mapping[str, type[DomainError]]:
    """The classes of this file by reason: these keep their class when they cross the wire."""
    return MappingProxyType({error.reason: error for error in registry() if error.__module__ == __name__})
