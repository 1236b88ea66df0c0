"""Faults on order: which requests go wrong, how, and how often. Deterministic for a seed and a sequence of requests."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from enum import StrEnum

import msgspec

from apportion.mt5_simulator.codes import Retcode


class FaultKind(StrEnum):
    LATENCY = "latency"
    """Execute and answer after `seconds`, or at once when the faults are cleared meanwhile."""
    LATE_RESULT = "late_result"
    """Execute the dealer request now; let its result be read only after `seconds`."""
    REJECT = "reject"
    """Refuse with `retcode`: a dealer request by its result when the code is one of the trade codes (10000 and up,
    but not 10024), anything else by the reply."""
    REQUOTE = "requote"
    """`reject` with 10004."""
    TIMEOUT = "timeout"
    """The dealer request is executed, but its result says 10012 and names no deal. (`reject` with 10012 does nothing.)
    """
    DENY = "deny"
    """Execute, then answer with `retcode` all the same, as an access server that has lost its trade server."""
    LOSE_ANSWER = "lose_answer"
    """Execute, then drop the connection without an answer."""
    LOSE_RESULT = "lose_result"
    """The dealer request is executed, but its result can never be read: the subscription is gone. At
    `dealer/send_request` from the start, at `dealer/get_request_result` when it is asked for."""
    DISCONNECT = "disconnect"
    """Drop the connection instead of executing."""
    FORBIDDEN = "forbidden"
    """HTTP 403."""


_ENDPOINTS = {
    FaultKind.LATE_RESULT: ("*", "dealer/send_request"),
    FaultKind.TIMEOUT: ("*", "dealer/send_request"),
    FaultKind.LOSE_RESULT: ("*", "dealer/send_request", "dealer/get_request_result"),
}


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    kind: FaultKind
    endpoint: str = "*"
    """`*`, or a path without `/api/`, such as `dealer/send_request`."""
    login: int | None = None
    """Only requests for this trading account."""
    count: int | None = 1
    """How often; None for ever."""
    skip: int = 0
    """Let so many matching requests pass first."""
    probability: float = 1.0
    seed: int = 0
    seconds: float = 0.0
    retcode: int = int(Retcode.REJECTED)


class _Armed:
    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.skip = fault.skip
        self.left = fault.count
        self.fired = 0
        self.random = random.Random(fault.seed)  # noqa: S311 - must be repeatable

    def fires(self, endpoint: str, login: int | None) -> bool:
        fault = self.fault
        if fault.endpoint not in ("*", endpoint) or (fault.login is not None and fault.login != login):
            return False
        if self.left == 0 or self.random.random() >= fault.probability:
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.left is not None:
            self.left -= 1
        self.fired += 1
        return True


class Faults:
    def __init__(self) -> None:
        self._armed: dict[int, _Armed] = {}
        self._last_id = 0
        self._cleared = asyncio.Event()

    def add(self, fault: Fault) -> int:
        """Returns its id. ValueError for a kind that could never show at that endpoint."""
        if fault.endpoint not in _ENDPOINTS.get(fault.kind, (fault.endpoint,)):
            raise ValueError(f"{fault.kind.value} does nothing at {fault.endpoint}")
        if fault.kind is FaultKind.REQUOTE:
            fault.kind, fault.retcode = FaultKind.REJECT, int(Retcode.REQUOTE)
        self._last_id += 1
        self._armed[self._last_id] = _Armed(fault)
        return self._last_id

    def clear(self) -> None:
        self._armed.clear()
        self._cleared.set()
        self._cleared = asyncio.Event()

    async def delay(self, seconds: float) -> None:
        """Returns after `seconds`, or at once when the faults are cleared meanwhile."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._cleared.wait()

    def listed(self) -> list[dict[str, object]]:
        """All since the last `clear`, also those that are spent: how often each has fired, and may still fire."""
        return [
            {"id": number, "fired": armed.fired, "left": armed.left, **msgspec.to_builtins(armed.fault)}
            for number, armed in self._armed.items()
        ]

    def take(self, endpoint: str, login: int | None) -> dict[FaultKind, Fault]:
        """The faults that befall this request, at most one of a kind. Spends their counts."""
        if not self._armed:
            return {}
        befallen: dict[FaultKind, Fault] = {}
        for armed in self._armed.values():
            if armed.fault.kind not in befallen and armed.fires(endpoint, login):
                befallen[armed.fault.kind] = armed.fault
        return befallen
