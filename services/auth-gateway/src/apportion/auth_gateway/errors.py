"""Reasons of the gateway. Each answer outside carries the reason and the first line of the docstring, nothing else.

DomainError
├── TransportError      what never became a call: HTTP status other than 200
│   ├── HttpMethodNotAllowed, PathNotFound, UnsupportedMediaType, UnsupportedEncoding, BodyTooLarge, BodyTimeout,
│   └── HostNotAllowed, HttpsRequired, OriginNotAllowed
├── EnvelopeError       a JSON-RPC envelope that is wrong: -32700, -32600, -32601
│   ├── ParseFailed, RequestInvalid, DuplicateKey, TooDeep, StringTooLong, StringInvalid, NumberOutOfRange
│   └── BatchTooLarge, ParamsNotStructured, MethodNotFound
├── INVALID             NamedParamsRequired, LoginMismatch, RedirectNotAllowed, AreaInvalid, BrokerFieldInvalid
├── UNAUTHENTICATED     InvalidCredentials, TokenInvalid, SessionRequired
├── PRECONDITION        BatchNotAllowed, RotationOpen
├── ALREADY_EXISTS      BrokerExists
└── EXHAUSTED           RateLimited
"""

from __future__ import annotations

from typing import ClassVar

from apportion.errors import DomainError, Kind


class EnvelopeError(DomainError):
    """Base of what is wrong with the JSON-RPC envelope itself."""

    kind = Kind.INVALID
    cure = "Send JSON-RPC 2.0 as its specification says."
    rpc_code: ClassVar[int] = -32600


class ParseFailed(EnvelopeError):
    """The body is not JSON in UTF-8."""

    reason = "PARSE_ERROR"
    cure = "Send strict JSON, UTF-8, no byte order mark, no NaN or Infinity."
    rpc_code = -32700


class RequestInvalid(EnvelopeError):
    """The JSON is not a JSON-RPC 2.0 request."""

    reason = "INVALID_REQUEST"


class DuplicateKey(EnvelopeError):
    """An object has the same key twice."""

    reason = "DUPLICATE_KEY"
    cure = "Send each key once."


class TooDeep(EnvelopeError):
    """The JSON is nested more than 16 levels deep."""

    reason = "TOO_DEEP"
    cure = "No method needs nesting of this depth; send what its parameters describe."


class StringTooLong(EnvelopeError):
    """A string is longer than 4096 bytes."""

    reason = "STRING_TOO_LONG"
    cure = "Shorten it."


class StringInvalid(EnvelopeError):
    """A string contains half of a surrogate pair."""

    reason = "STRING_INVALID"
    cure = "Escape characters beyond the basic plane as a pair, or send them as UTF-8."


class NumberOutOfRange(EnvelopeError):
    """A number has more than 40 characters or passes the range of a double."""

    reason = "NUMBER_OUT_OF_RANGE"
    cure = "Send amounts as decimal strings and ids within 64 bits."


class BatchTooLarge(EnvelopeError):
    """A batch has more than 20 items."""

    reason = "BATCH_TOO_LARGE"
    cure = "Split it; nothing of it was executed."


class ParamsNotStructured(EnvelopeError):
    """The params are neither an object nor an array."""

    reason = "PARAMS_NOT_STRUCTURED"
    cure = "Send an object or an array, or leave params out."


class MethodNotFound(EnvelopeError):
    """There is no such method."""

    reason = "METHOD_NOT_FOUND"
    cure = "See rpc.discover for the methods; names are case-sensitive."
    rpc_code = -32601


class TransportError(EnvelopeError):
    """Base of what is refused before it becomes a call."""

    http_status: ClassVar[int] = 400


class HttpMethodNotAllowed(TransportError):
    """Only POST is served here."""

    reason = "METHOD_NOT_ALLOWED"
    cure = "Use POST."
    http_status = 405


class PathNotFound(TransportError):
    """There is nothing at this path."""

    reason = "PATH_NOT_FOUND"
    cure = "JSON-RPC is served at /dx, without a query string."
    http_status = 404


class UnsupportedMediaType(TransportError):
    """The content type is not application/json in UTF-8."""

    reason = "UNSUPPORTED_MEDIA_TYPE"
    cure = "Send Content-Type: application/json."
    http_status = 415


class UnsupportedEncoding(TransportError):
    """Compressed bodies are not accepted."""

    reason = "UNSUPPORTED_ENCODING"
    cure = "Send the body without Content-Encoding."
    http_status = 415


class BodyTooLarge(TransportError):
    """The body is larger than 64 KiB."""

    reason = "BODY_TOO_LARGE"
    cure = "Send smaller batches."
    http_status = 413


class BodyTimeout(TransportError):
    """The body did not arrive in time."""

    reason = "BODY_TIMEOUT"
    cure = "Send the whole body at once."
    http_status = 408


class HostNotAllowed(TransportError):
    """The Host header names another server."""

    reason = "HOST_NOT_ALLOWED"
    cure = "Call the gateway by its published name; operators list names in AUTH_GATEWAY_HOSTS."
    http_status = 421


class HttpsRequired(TransportError):
    """The call reached our proxy without TLS."""

    kind = Kind.DENIED
    reason = "HTTPS_REQUIRED"
    cure = "Call https://, and change what this call has sent in clear: the password, or the session's key."
    http_status = 403


class OriginNotAllowed(TransportError):
    """Pages of this origin may not call the gateway."""

    kind = Kind.DENIED
    reason = "ORIGIN_NOT_ALLOWED"
    cure = "Register the page's address as an area of the broker."
    rpc_code = -32003
    http_status = 403


class NamedParamsRequired(DomainError):
    """This method takes its parameters by name."""

    kind = Kind.INVALID
    reason = "NAMED_PARAMS_REQUIRED"
    cure = "Send params as an object."


class LoginMismatch(DomainError):
    """The la_login header and wa_login differ."""

    kind = Kind.INVALID
    reason = "LOGIN_MISMATCH"
    cure = "Send the user's wallet login in both."


class RedirectNotAllowed(DomainError):
    """The address to return to is not a registered area of the broker."""

    kind = Kind.INVALID
    reason = "REDIRECT_NOT_ALLOWED"
    cure = "Send a registered area exactly as it is registered, or leave return_url out."


class AreaInvalid(DomainError):
    """The address of an area must be http or https, with a host, and without user, query or fragment."""

    kind = Kind.INVALID
    reason = "AREA_INVALID"
    cure = "Register an address such as https://invest.broker.example or https://broker.example/invest."


class BrokerFieldInvalid(DomainError):
    """A field of the broker is out of its range."""

    kind = Kind.INVALID
    reason = "BROKER_FIELD_INVALID"
    cure = "Correct the field that the message names."


class InvalidCredentials(DomainError):
    """The credentials are not valid."""

    kind = Kind.UNAUTHENTICATED
    reason = "INVALID_CREDENTIALS"
    cure = "Check label, login and ManagerPass; the wallet must be open and belong to the broker."


class TokenInvalid(DomainError):
    """The token is not valid."""

    kind = Kind.UNAUTHENTICATED
    reason = "TOKEN_INVALID"
    cure = "Get a new token with la.auth; each works once and for a short time."


class SessionRequired(DomainError):
    """A valid session is required."""

    kind = Kind.UNAUTHENTICATED
    reason = "SESSION_REQUIRED"
    cure = "Sign in again: la.auth, then session.exchange."


class BatchNotAllowed(DomainError):
    """This method cannot be part of a batch."""

    kind = Kind.PRECONDITION
    reason = "BATCH_NOT_ALLOWED"
    cure = "Call it alone."


class RotationOpen(DomainError):
    """Two passwords are valid already."""

    kind = Kind.PRECONDITION
    reason = "ROTATION_OPEN"
    cure = "End the rotation first (broker finish-rotation), or wait until the older password expires."


class BrokerExists(DomainError):
    """The label or the name is taken."""

    kind = Kind.ALREADY_EXISTS
    reason = "BROKER_EXISTS"
    cure = "Choose another label and name, or change the existing broker."


class RateLimited(DomainError):
    """Too many attempts."""

    kind = Kind.EXHAUSTED
    reason = "RATE_LIMITED"
    cure = "Wait as long as retry_after_ms says."
