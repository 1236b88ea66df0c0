"""One-time tokens and session keys: random text outside, SHA-256 inside."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import NamedTuple

TOKEN_BYTES = 16
SESSION_BYTES = 32
SESSION_IDLE_SECONDS = 30 * 60
SESSION_MAX_SECONDS = 12 * 60 * 60
_TOKEN = re.compile(r"[0-9a-f]{32}")
_SESSION = re.compile(r"[0-9a-f]{64}")


class Identity(NamedTuple):
    """The signed-in user: a wallet of a broker."""

    label: int
    login: int
    wallet_account_id: int


class TokenGrant(NamedTuple):
    """What a token stands for until it is exchanged."""

    identity: Identity
    area: str
    issued_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Session:
    """A session that was found valid. `digest` names it in storage."""

    identity: Identity
    digest: str
    created_ms: int
    ends_ms: int


class IssuedToken(NamedTuple):
    """The token, told this once, how long it lives, the tag of its language, and the address that signs in with it."""

    token: str
    ttl_seconds: int
    language_tag: str
    url: str


def is_token(text: str) -> bool:
    """Whether this has the form of a token: 32 lower-case hex digits."""
    return _TOKEN.fullmatch(text) is not None


def is_session_key(text: str) -> bool:
    """Whether this has the form of a session key: 64 lower-case hex digits."""
    return _SESSION.fullmatch(text) is not None


def digest_of(secret: str) -> str:
    """What is stored instead of a token or session key."""
    return hashlib.sha256(secret.encode("ascii")).hexdigest()
