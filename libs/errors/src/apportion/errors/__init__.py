"""Typed domain errors: kind, reason, message, metadata."""

from __future__ import annotations

from apportion.errors.domain_error import DomainError, Violation, registry, summary
from apportion.errors.kind import Kind
from apportion.errors.shared import (
    DatabaseUnavailable,
    DeadlineExceeded,
    DeadlineRequired,
    Draining,
    IdempotencyInProgress,
    IdempotencyKeyReused,
    InternalError,
    InvalidArgument,
    KillSwitchOn,
    LabelRequired,
    MalformedMessage,
    NotFound,
    Overloaded,
    PageTokenInvalid,
    PeerNotAllowed,
    RemoteError,
    RequestIdRequired,
    StaleEpoch,
    TimestampInvalid,
    UpstreamUnavailable,
    VersionConflict,
)

__all__ = [
    "DatabaseUnavailable",
    "DeadlineExceeded",
    "DeadlineRequired",
    "DomainError",
    "Draining",
    "IdempotencyInProgress",
    "IdempotencyKeyReused",
    "InternalError",
    "InvalidArgument",
    "KillSwitchOn",
    "Kind",
    "LabelRequired",
    "MalformedMessage",
    "NotFound",
    "Overloaded",
    "PageTokenInvalid",
    "PeerNotAllowed",
    "RemoteError",
    "RequestIdRequired",
    "StaleEpoch",
    "TimestampInvalid",
    "UpstreamUnavailable",
    "VersionConflict",
    "Violation",
    "registry",
    "summary",
]
