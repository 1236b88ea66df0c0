"""DomainError to gRPC status and back: the only place where a kind meets a code."""

from __future__ import annotations

from collections.abc import Iterable

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from apportion.errors import (
    DeadlineExceeded,
    DomainError,
    InternalError,
    Kind,
    RemoteError,
    UpstreamUnavailable,
    Violation,
    shared_reasons,
)

DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"

# All trailers must stay below 8 KiB, the smallest limit a client may have; what is longer is cut.
MESSAGE_LIMIT = 300
VALUE_LIMIT = 160
VIOLATIONS_BYTES = 2_500

CODES: dict[Kind, grpc.StatusCode] = {
    Kind.INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    Kind.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Kind.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Kind.CONFLICT: grpc.StatusCode.ABORTED,
    Kind.PRECONDITION: grpc.StatusCode.FAILED_PRECONDITION,
    Kind.DENIED: grpc.StatusCode.PERMISSION_DENIED,
    Kind.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    Kind.EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Kind.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Kind.DEADLINE: grpc.StatusCode.DEADLINE_EXCEEDED,
    Kind.INTERNAL: grpc.StatusCode.INTERNAL,
}

KINDS: dict[grpc.StatusCode, Kind] = {code: kind for kind, code in CODES.items()} | {
    grpc.StatusCode.OUT_OF_RANGE: Kind.INVALID,
    grpc.StatusCode.CANCELLED: Kind.UNAVAILABLE,
}

Trailers = tuple[tuple[str, str | bytes], ...]


def message_of(error: DomainError) -> str:
    """The text of a refusal, no longer than what always fits."""
    return error.message[:MESSAGE_LIMIT]


def trailers_of(error: DomainError, domain: str, request_id: str) -> Trailers:
    """The trailing metadata of a refusal: `google.rpc.Status` with one detail of each type that applies."""
    status = status_pb2.Status(code=CODES[error.kind].value[0], message=message_of(error))
    for detail in _details(error, domain, request_id):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    trailers: Trailers = ((DETAILS_KEY, status.SerializeToString()),)
    if error.retry_after_seconds is not None and error.kind in (Kind.UNAVAILABLE, Kind.EXHAUSTED):
        trailers += ((PUSHBACK_KEY, str(int(error.retry_after_seconds * 1000))),)
    return trailers


def _details(error: DomainError, domain: str, request_id: str) -> Iterable[Message]:
    metadata = {key: value[:VALUE_LIMIT] for key, value in error.metadata.items()}
    yield error_details_pb2.ErrorInfo(reason=error.reason, domain=domain, metadata=metadata)
    yield error_details_pb2.RequestInfo(request_id=request_id)
    if error.violations:
        bad_request = error_details_pb2.BadRequest()
        for violation in error.violations:
            if bad_request.ByteSize() > VIOLATIONS_BYTES:
                break
            bad_request.field_violations.add(
                field=violation.field[:VALUE_LIMIT], description=violation.description[:VALUE_LIMIT]
            )
        yield bad_request
    if error.kind is Kind.PRECONDITION:
        failure = error_details_pb2.PreconditionFailure()
        failure.violations.add(type=error.reason, subject=metadata.get("subject", ""), description=message_of(error))
        yield failure
    if error.retry_after_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(int(error.retry_after_seconds * 1e9))
        yield retry


def error_of(failure: grpc.aio.AioRpcError, service: str) -> DomainError:
    """The failure of a call to `service` as the class its reason names, or RemoteError for a reason of its own."""
    status = _status_of(failure)
    info = error_details_pb2.ErrorInfo()
    bad_request = error_details_pb2.BadRequest()
    retry = error_details_pb2.RetryInfo()
    for detail in status.details:
        for message in (info, bad_request, retry):
            detail.Unpack(message)
    if not info.reason:
        return _without_reason(failure, service)
    violations = tuple(Violation(item.field, item.description) for item in bad_request.field_violations)
    retry_after = retry.retry_delay.ToTimedelta().total_seconds() if retry.HasField("retry_delay") else None
    shared = shared_reasons().get(info.reason)
    if shared is not None:
        return shared.restored(status.message, info.metadata, violations, retry_after)
    kind = KINDS.get(failure.code(), Kind.INTERNAL)
    return RemoteError(kind, info.reason, status.message, info.metadata, violations, retry_after)


def _status_of(failure: grpc.aio.AioRpcError) -> status_pb2.Status:
    for key, value in failure.trailing_metadata():
        if key == DETAILS_KEY and isinstance(value, bytes):
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                break
    return status_pb2.Status()


def _without_reason(failure: grpc.aio.AioRpcError, service: str) -> DomainError:
    """A status made by the transport, not by our server: its text may name hosts, so it is left to the log."""
    code = failure.code()
    match code:
        case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.CANCELLED:
            return UpstreamUnavailable(f"{service} cannot be reached", service=service)
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineExceeded(f"{service} did not answer in time", service=service)
        case grpc.StatusCode.INTERNAL | grpc.StatusCode.UNKNOWN | grpc.StatusCode.DATA_LOSS:
            return InternalError(f"{service} failed", service=service)
    kind = KINDS.get(code, Kind.INTERNAL)
    return RemoteError(kind, code.name, f"{service} answered {code.name}", {"service": service})
