"""Answers: JSON-RPC objects, their codes, and the HTTP status they travel with."""

from __future__ import annotations

import math

import msgspec

from apportion.auth_gateway.errors import EnvelopeError, TransportError
from apportion.auth_gateway.wire.envelope import Id
from apportion.errors import (
    DeadlineRequired,
    DomainError,
    InternalError,
    Kind,
    LabelRequired,
    MalformedMessage,
    Overloaded,
    PeerNotAllowed,
    RemoteError,
    UpstreamUnavailable,
    summary,
)

DOMAIN = "auth-gateway.apportion"
RATE_LIMITED = -32029
UNAVAILABLE = -32050
CODES = {
    Kind.INVALID: -32602,
    Kind.INTERNAL: -32603,
    Kind.UNAUTHENTICATED: -32001,
    Kind.DENIED: -32003,
    Kind.NOT_FOUND: -32004,
    Kind.ALREADY_EXISTS: -32009,
    Kind.CONFLICT: -32009,
    Kind.PRECONDITION: -32012,
    Kind.EXHAUSTED: RATE_LIMITED,
    Kind.UNAVAILABLE: UNAVAILABLE,
    Kind.DEADLINE: -32054,
}
_HTTP_STATUS = {RATE_LIMITED: 429, UNAVAILABLE: 503}
# These mean that the gateway asked another service wrongly: a bug of ours, not of the caller.
_OUR_FAULT = (MalformedMessage, DeadlineRequired, LabelRequired, PeerNotAllowed)
_encode = msgspec.json.Encoder().encode


class Rendered(msgspec.Struct, frozen=True):
    """One JSON-RPC object. `status` and `retry_after_seconds` are for HTTP, when it is not part of a batch."""

    body: bytes
    status: int = 200
    retry_after_seconds: int | None = None


def success(id_: Id, result: object) -> Rendered:
    """The answer to a call that succeeded; a result is a dataclass or anything else that msgspec encodes."""
    return Rendered(b'{"jsonrpc":"2.0","id":%s,"result":%s}' % (_encode(id_), _encode(result)))


def failure(id_: Id, cause: DomainError, request_id: str) -> Rendered:
    """The answer to a call that failed: a fixed sentence per reason, nothing of the input, nothing internal."""
    error = public(cause)
    code = code_of(error)
    data: dict[str, object] = {"reason": error.reason, "domain": DOMAIN, "request_id": request_id}
    retry = error.retry_after_seconds
    if retry is not None:
        data["retry_after_ms"] = math.ceil(retry * 1000)
    if error.violations:
        data["violations"] = [{"field": v.field, "description": v.description} for v in error.violations]
    text = _encode({"code": code, "message": _message(error), "data": data})
    status = error.http_status if isinstance(error, TransportError) else _HTTP_STATUS.get(code, 200)
    seconds = math.ceil(retry or 1) if status in (429, 503) else None
    return Rendered(b'{"jsonrpc":"2.0","id":%s,"error":%s}' % (_encode(id_), text), status, seconds)


def batch(answers: list[Rendered]) -> Rendered:
    """One array; its HTTP status is 200 whatever the items say."""
    return Rendered(b"[%s]" % b",".join(answer.body for answer in answers))


def public(error: DomainError) -> DomainError:
    """What the outside may know of an error: which of our parts is down, or that we asked it wrongly, is not news."""
    if error.kind is Kind.UNAVAILABLE:
        return UpstreamUnavailable(retry_after_seconds=error.retry_after_seconds)
    if error.kind is Kind.INTERNAL or isinstance(error, _OUR_FAULT):
        return InternalError()
    return error


def code_of(error: DomainError) -> int:
    """The JSON-RPC code of a public error."""
    if isinstance(error, EnvelopeError):
        return error.rpc_code
    return UNAVAILABLE if isinstance(error, Overloaded) else CODES[error.kind]


def _message(error: DomainError) -> str:
    if isinstance(error, RemoteError):
        return f"The request was refused: {error.kind.value}."
    return summary(type(error))
