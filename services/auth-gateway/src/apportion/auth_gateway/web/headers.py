"""Headers that come in, and the cookie. One that decides who is calling must come once: of two, readers differ."""

from __future__ import annotations

import re

import msgspec
from multidict import CIMultiDictProxy

from apportion.auth_gateway.domain.passwords import MAX_SECRET_BYTES, secret_from_header
from apportion.auth_gateway.errors import InvalidCredentials
from apportion.errors import DomainError, InvalidArgument, Violation

COOKIE = "__Host-session"
_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}")
_NUMBER = re.compile(r"[1-9][0-9]{0,18}")
_CREDENTIALS = ("la_login", "lbl", "ManagerPass")
_WALLET_ONLY = ["0"]
_NONE: list[str] = []
_MISSING = "REQUIRED: the header did not arrive; proxies drop names with underscores unless told otherwise"

Headers = CIMultiDictProxy[str]


class Visit(msgspec.Struct, frozen=True):
    """What is known of a caller before anything is believed. `address` is the one behind our own proxies."""

    headers: Headers
    address: str
    origin: str | None
    request_id: str


def request_id_of(headers: Headers) -> str | None:
    """The caller's own id of the request, when it has the form of one."""
    text = headers.get("X-Request-Id")
    return text if text is not None and _REQUEST_ID.fullmatch(text) else None


def read_credentials(headers: Headers) -> tuple[int, int, bytes]:
    """Label, login and secret, as a room says them in its headers.

    Raises InvalidCredentials when a header is missing (and says which), repeated or not a number; InvalidArgument
    for a la_type that is not served.
    """
    logins, labels = headers.getall("la_login", _NONE), headers.getall("lbl", _NONE)
    passwords, types = headers.getall("ManagerPass", _NONE), headers.getall("la_type", _NONE)
    if not len(logins) == len(labels) == len(passwords) == 1 or types != _WALLET_ONLY:
        raise _wrong_headers(headers)
    login, label, secret = logins[0], labels[0], secret_from_header(passwords[0])
    if not (_NUMBER.fullmatch(login) and _NUMBER.fullmatch(label)) or len(secret) > MAX_SECRET_BYTES:
        raise InvalidCredentials
    return int(label), int(login), secret


def _wrong_headers(headers: Headers) -> DomainError:
    if missing := [Violation(name, _MISSING) for name in _CREDENTIALS if name not in headers]:
        return InvalidCredentials(violations=missing)
    if headers.getall("la_type", _NONE) != _WALLET_ONLY:
        problem = "RANGE: must be 0, a wallet, once" if "la_type" in headers else _MISSING
        return InvalidArgument(violations=[Violation("la_type", problem)])
    return InvalidCredentials()


def claimed_label(headers: Headers) -> int | None:
    """The label of a `lbl` header, None without one; 0, which no broker has, for one that is not a number."""
    values = headers.getall("lbl", ())
    if not values:
        return None
    return int(values[0]) if len(values) == 1 and _NUMBER.fullmatch(values[0]) else 0


def session_key_of(headers: Headers) -> str | None:
    """The session key of the cookie or the bearer; None when there is none, or two that differ."""
    bearers, cookies = headers.getall("Authorization", ()), headers.getall("Cookie", ())
    if len(bearers) > 1 or len(cookies) > 1:
        return None
    keys = {value for scheme, _, value in (text.partition(" ") for text in bearers) if scheme.lower() == "bearer"}
    for pair in cookies[0].split(";") if cookies else ():
        name, _, value = pair.strip().partition("=")
        if name == COOKIE:
            keys.add(value)
    return keys.pop() if len(keys) == 1 else None


def session_cookie(key: str, max_age_seconds: int) -> str:
    """Set-Cookie for a session key; an empty key with age 0 takes it away."""
    return f"{COOKIE}={key}; Path=/; Max-Age={max_age_seconds}; Secure; HttpOnly; SameSite=Strict"
