"""One TCP connection of a manager: its login handshake and the dealer requests whose results only it can read."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable

import msgspec

ANSWER_SECONDS = 10.0
RESULT_SECONDS = 180.0


def password_hash(password: str) -> bytes:
    """H = MD5(MD5(UTF-16LE password) ‖ "WebAPI"), of raw bytes."""
    inner = hashlib.md5(password.encode("utf-16-le"), usedforsecurity=False).digest()
    return hashlib.md5(inner + b"WebAPI", usedforsecurity=False).digest()


def challenge_answer(secret: bytes, challenge: bytes) -> bytes:
    """MD5(H ‖ challenge): both sides of the handshake prove the password with it."""
    return hashlib.md5(secret + challenge, usedforsecurity=False).digest()


class DealerResult(msgspec.Struct, kw_only=True):
    """The subscription to the result of one dealer request."""

    sent_at: float
    readable_at: float | None = None
    """None while the request is not executed. Monotonic seconds, as `sent_at`."""
    confirm: dict[str, object] = {}
    answer: dict[str, object] = {}


class Session:
    def __init__(self, close_connection: Callable[[], None]) -> None:
        self.close_connection = close_connection
        self.manager_login: int | None = None
        """The manager, once logged in."""
        self.results: dict[int, DealerResult] = {}
        """In the order in which they were sent."""
        self._login = 0
        self._secret = b""
        self._challenge = b""
        self._started_at = 0.0

    def start_login(self, login: int, password: str, now: float) -> str:
        """Returns our challenge as hex. `now` in monotonic seconds."""
        self.manager_login = None
        self._login, self._secret, self._started_at = login, password_hash(password), now
        self._challenge = secrets.token_bytes(16)
        return self._challenge.hex()

    def answer_login(self, answer_hex: str, client_challenge_hex: str, now: float) -> str | None:
        """Our answer to the client's challenge as hex, or None when the login fails; a challenge serves once."""
        challenge, self._challenge = self._challenge, b""
        if not challenge or now - self._started_at > ANSWER_SECONDS:
            return None
        try:
            answer, client_challenge = bytes.fromhex(answer_hex), bytes.fromhex(client_challenge_hex)
        except ValueError:
            return None
        if len(client_challenge) != 16 or not hmac.compare_digest(answer, challenge_answer(self._secret, challenge)):
            return None
        self.manager_login = self._login
        return challenge_answer(self._secret, client_challenge).hex()

    def forget_old_results(self, now: float) -> None:
        """A subscription dies when nobody reads it for three minutes."""
        while self.results:
            oldest = next(iter(self.results))
            if now - self.results[oldest].sent_at <= RESULT_SECONDS:
                return
            del self.results[oldest]
