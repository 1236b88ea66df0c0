"""The check of an API password: generated ones at once, short legacy ones by argon2id in a thread."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from apportion.auth_gateway.domain.brokers import Broker
from apportion.auth_gateway.domain.passwords import matches_digest, password_digest, slow_passwords
from apportion.runtime import Clock

REMEMBER_SECONDS = 60.0
MAX_REMEMBERED = 1_000
SLOW_CHECKS_AT_ONCE = 2


class PasswordCheck:
    """Holds the pepper and, for a minute, the digests of legacy passwords that were right.

    A hash that costs 100 ms must not be paid on every call, nor by more than two calls at a time.
    """

    def __init__(self, pepper: bytes, clock: Clock) -> None:
        self._pepper = pepper
        self._clock = clock
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(SLOW_CHECKS_AT_ONCE, thread_name_prefix="argon2")
        self._slots = asyncio.Semaphore(SLOW_CHECKS_AT_ONCE)
        self._right: dict[tuple[int, bytes], float] = {}

    def digest(self, label: int, secret: bytes) -> bytes:
        """What is compared and stored for a generated password."""
        return password_digest(self._pepper, label, secret)

    def check(self, broker: Broker | None, label: int, secret: bytes, now: datetime) -> bool | None:
        """Right, wrong, or None: only `check_slowly` can tell. Does the same work for a label that does not exist."""
        passwords = broker.passwords if broker else ()
        digest = self.digest(label, secret)
        if matches_digest(passwords, digest, now):
            return True
        slow = slow_passwords(passwords, now)
        if any(self._remembered(password.password_id, digest) for password in slow):
            return True
        return None if slow else False

    async def check_slowly(self, broker: Broker, secret: bytes, now: datetime) -> bool:
        """Try the legacy passwords; a right one is remembered."""
        for password in slow_passwords(broker.passwords, now):
            async with self._slots:
                right = await asyncio.get_running_loop().run_in_executor(
                    self._threads, self._verify, password.digest, secret
                )
            if right:
                self._remember(password.password_id, self.digest(broker.label, secret))
                return True
        return False

    async def hash_slowly(self, secret: bytes) -> bytes:
        """The argon2id hash to store for a legacy password."""
        return (await asyncio.to_thread(self._hasher.hash, secret)).encode("ascii")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, encoded: bytes, secret: bytes) -> bool:
        try:
            return self._hasher.verify(encoded.decode("ascii"), secret)
        except (VerificationError, InvalidHashError):
            return False

    def _remembered(self, password_id: int, digest: bytes) -> bool:
        return self._right.get((password_id, digest), 0.0) > self._clock.monotonic()

    def _remember(self, password_id: int, digest: bytes) -> None:
        if len(self._right) >= MAX_REMEMBERED:
            self._right.clear()
        self._right[password_id, digest] = self._clock.monotonic() + REMEMBER_SECONDS
