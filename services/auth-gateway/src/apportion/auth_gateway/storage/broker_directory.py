"""All brokers in memory, read again every few seconds."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.auth_gateway.domain.brokers import Broker
from apportion.auth_gateway.storage.brokers import list_brokers
from apportion.runtime import Clock
from apportion.storage import transaction


@dataclass(frozen=True, slots=True)
class Brokers:
    """The brokers at one instant; only active ones have origins."""

    by_label: dict[int, Broker]
    labels_by_origin: dict[str, frozenset[int]]


class BrokerDirectory:
    """A copy that is at most `ttl_seconds` old: a rotation or a disabled broker takes effect after that.

    A database that cannot be reached makes the copy unusable once it is old: nobody signs in on stale facts.
    """

    def __init__(self, engine: AsyncEngine, clock: Clock, ttl_seconds: float) -> None:
        self._engine = engine
        self._clock = clock
        self._ttl_seconds = ttl_seconds
        self._lock = asyncio.Lock()
        self._brokers = Brokers({}, {})
        self._fresh_until = float("-inf")

    def fresh(self) -> Brokers | None:
        """The copy when it is young enough to be used without a question to the database."""
        return self._brokers if self._clock.monotonic() < self._fresh_until else None

    async def current(self) -> Brokers:
        """The brokers, read again when the copy is old; callers that come meanwhile share the reading.

        Raises DatabaseUnavailable.
        """
        async with self._lock:
            if (known := self.fresh()) is not None:
                return known
            started = self._clock.monotonic()
            async with transaction(self._engine) as tx:
                self._brokers = _indexed(await list_brokers(tx))
            self._fresh_until = started + self._ttl_seconds
            return self._brokers


def _indexed(found: list[Broker]) -> Brokers:
    labels: dict[str, set[int]] = defaultdict(set)
    for broker in found:
        if broker.active:
            for origin in broker.origins():
                labels[origin].add(broker.label)
    return Brokers({broker.label: broker for broker in found}, {origin: frozenset(of) for origin, of in labels.items()})
