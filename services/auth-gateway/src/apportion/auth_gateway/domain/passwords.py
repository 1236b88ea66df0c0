"""API passwords: made here (128+ random bits, HMAC-SHA-256 with a pepper) or short legacy ones (argon2id)."""

from __future__ import annotations

import base64
import enum
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

GENERATED_BYTES = 24
"""192 random bits: 32 characters."""
MIN_PEPPER_BYTES = 32
MAX_SECRET_BYTES = 4096
VALID_AT_ONCE = 2
_NO_DIGEST = bytes(32)


class HashKind(enum.Enum):
    """How a password is kept."""

    HMAC_SHA256 = "hmac-sha256"
    ARGON2ID = "argon2id"


@dataclass(frozen=True, slots=True)
class ApiPassword:
    """One stored password. `digest` is 32 bytes for HMAC_SHA256 and the encoded hash, as ASCII, for ARGON2ID."""

    password_id: int
    hash_kind: HashKind
    digest: bytes
    valid_from_time: datetime
    valid_until_time: datetime | None

    def valid(self, now: datetime) -> bool:
        """Whether it may be used at this instant; the end is exclusive."""
        return self.valid_from_time <= now and (self.valid_until_time is None or now < self.valid_until_time)


def render_password(random: bytes) -> str:
    """Random bytes as text that survives headers, shells and JSON without escapes."""
    return base64.urlsafe_b64encode(random).decode("ascii").rstrip("=")


def secret_from_header(text: str) -> bytes:
    """The bytes of a ManagerPass header; one pair of surrounding quotes, as in the published example, is stripped."""
    secret = text.encode("utf-8", "surrogateescape")
    return secret[1:-1] if len(secret) >= 2 and secret[:1] == secret[-1:] == b'"' else secret


def password_digest(pepper: bytes, label: int, secret: bytes) -> bytes:
    """HMAC-SHA-256 over label and secret: a digest copied to another broker's row opens nothing."""
    return hmac.digest(pepper, b"%d\0%s" % (label, secret), hashlib.sha256)


def matches_digest(passwords: Sequence[ApiPassword], digest: bytes, now: datetime) -> bool:
    """Whether the digest is one of the valid generated passwords.

    Always compares as often, whether passwords exist or not and whichever of them matches.
    """
    stored = [p.digest for p in passwords if p.hash_kind is HashKind.HMAC_SHA256 and p.valid(now)]
    stored += [_NO_DIGEST] * (VALID_AT_ONCE - len(stored))
    found = False
    for candidate in stored:
        found |= hmac.compare_digest(candidate, digest)
    return found


def slow_passwords(passwords: Sequence[ApiPassword], now: datetime) -> list[ApiPassword]:
    """The valid passwords that only a slow hash can check."""
    return [p for p in passwords if p.hash_kind is HashKind.ARGON2ID and p.valid(now)]
