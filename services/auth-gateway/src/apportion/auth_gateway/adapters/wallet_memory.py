"""A short memory in front of the wallet check: a gRPC hop costs more than all the rest of a sign-in."""

from __future__ import annotations

import asyncio

from apportion.auth_gateway.operations.ports import Accounts
from apportion.runtime import Clock

MAX_REMEMBERED = 100_000


class WalletMemory:
    """The port `Wallets`: open wallets are remembered for `ttl_seconds`, and what is asked meanwhile shares one hop.

    That a wallet does not exist is never remembered: one that was just opened can sign in at once. A wallet that is
    closed can get tokens for at most `ttl_seconds` more.
    """

    def __init__(self, accounts: Accounts, clock: Clock, ttl_seconds: float) -> None:
        self._accounts = accounts
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        self._open: dict[tuple[int, int], tuple[int, float]] = {}
        self._asking: dict[tuple[int, int], asyncio.Task[int | None]] = {}

    def remembered(self, label: int, login: int) -> int | None:
        found = self._open.get((label, login))
        return found[0] if found is not None and found[1] > self._clock.monotonic() else None

    async def find(self, label: int, login: int) -> int | None:
        known = self.remembered(label, login)
        if known is not None:
            return known
        key = (label, login)
        task = self._asking.get(key)
        if task is None:
            task = self._asking[key] = asyncio.create_task(self._ask(label, login))
            task.add_done_callback(lambda _done: self._asking.pop(key, None))
        return await asyncio.shield(task)  # one caller that gives up does not take the answer from the others

    async def _ask(self, label: int, login: int) -> int | None:
        asked = self._clock.monotonic()
        wallet = await self._accounts.find_open_wallet(label, login)
        if len(self._open) >= MAX_REMEMBERED:
            self._open.clear()
        if wallet is None:
            self._open.pop((label, login), None)
        else:
            self._open[label, login] = (wallet, asked + self._ttl_seconds)
        return wallet
