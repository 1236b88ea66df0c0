"""Comparing notes with the owner of a topic: what did it publish that no stream told us."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

import structlog

from apportion.errors import DomainError
from apportion.events import metrics
from apportion.events.replay import Head, ReplayPort

log = structlog.get_logger()

CONCURRENT_CALLS = 4
RETRY_SECONDS = 1.0


class Sweep:
    """Asks the owner of one topic for the heads of partitions: when wanted at once, else of all held ones in turn.

    `pause_seconds()` is how long to rest between two rounds over all of `held()`.
    """

    def __init__(
        self,
        consumer: str,
        topic: str,
        owner: ReplayPort,
        *,
        held: Callable[[], Collection[int]],
        pause_seconds: Callable[[], float],
        on_heads: Callable[[int, str, list[Head]], Awaitable[None]],
    ) -> None:
        self._consumer = consumer
        self._topic = topic
        self._owner = owner
        self._held = held
        self._pause_seconds = pause_seconds
        self._on_heads = on_heads
        self._due: set[int] = set()
        self._wanted = asyncio.Event()

    def want(self, partitions: Collection[int]) -> None:
        """Ask for these partitions now."""
        self._due.update(partitions)
        self._wanted.set()

    async def run(self) -> None:
        """Sweep for ever; an owner that does not answer is asked again."""
        while True:
            try:
                async with asyncio.timeout(self._pause_seconds()):
                    await self._wanted.wait()
            except TimeoutError:
                self._due.update(self._held())
            self._wanted.clear()
            due, self._due = self._due, set()
            slots = asyncio.Semaphore(CONCURRENT_CALLS)
            await asyncio.gather(*(self._ask(partition, slots) for partition in sorted(due)))

    async def _ask(self, partition: int, slots: asyncio.Semaphore) -> None:
        async with slots:
            try:
                async for heads in self._owner.heads(self._topic, partition):
                    await self._on_heads(partition, self._topic, heads)
            except DomainError as error:
                metrics.SWEEP_FAILED.labels(self._consumer, self._topic).inc()
                log.warning("sweep_failed", topic=self._topic, partition=partition, cause=str(error))
                asyncio.get_running_loop().call_later(RETRY_SECONDS, self.want, {partition})
