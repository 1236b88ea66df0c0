"""The login handshake: both sides prove that they know the password without sending it.

H = MD5(MD5(UTF-16LE(password)) ‖ "WebAPI"); an answer to a challenge is MD5(H ‖ challenge); all operands are raw bytes.
MD5 is the server's choice: the connection's secrecy rests on TLS.
"""

from __future__ import annotations

import hashlib
import hmac


def _md5(data: bytes) -> bytes:
    return hashlib.md5(data, usedforsecurity=False).digest()


def password_hash(password: str) -> bytes:
    """H, 16 bytes."""
    return _md5(_md5(password.encode("utf-16-le")) + b"WebAPI")


def answer(hash_: bytes, challenge_hex: str) -> str:
    """The 32 hex digits that answer a challenge of 32 hex digits. Raises ValueError when it is not hex."""
    return _md5(hash_ + bytes.fromhex(challenge_hex)).hex()


def is_genuine(hash_: bytes, challenge_hex: str, their_answer: str) -> bool:
    """Whether the server's answer to our challenge is right."""
    return hmac.compare_digest(answer(hash_, challenge_hex).encode(), their_answer.lower().encode())
