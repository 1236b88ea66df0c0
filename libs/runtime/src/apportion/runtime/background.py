"""Supervision of the loops a service runs for ever: relays, consumers, lease keepers, pollers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import structlog
from prometheus_client import Counter

log = structlog.get_logger()

FIRST_DELAY_SECONDS = 0.1
LONGEST_DELAY_SECONDS = 30.0
HEALTHY_AFTER_SECONDS = 60.0

FAILURES = Counter("apportion_background_failures_total", "Crashes of a supervised loop.", ["task"])


class Background:
    """Runs named coroutines; one that fails is logged, counted and started again after a growing delay.

    `async with Background() as background: background.spawn("relay", relay.run)`. Leaving the block cancels
    the loops one by one, the latest first, and waits for each: what depends on another ends before it.
    A loop that returns is finished and is not started again.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self.stop()

    def spawn(self, name: str, start: Callable[[], Awaitable[object]]) -> asyncio.Task[None]:
        """Run `start()` under supervision; raises ValueError when the name is taken."""
        if name in self._tasks:
            raise ValueError(f"a background task named {name!r} is running")
        task = asyncio.create_task(_supervise(name, start), name=name)
        self._tasks[name] = task
        return task

    async def stop(self) -> None:
        """Cancel every loop and wait until it has ended."""
        while self._tasks:
            _name, task = self._tasks.popitem()
            task.cancel()
            await asyncio.wait([task])


async def _supervise(name: str, start: Callable[[], Awaitable[object]]) -> None:
    loop = asyncio.get_running_loop()
    delay = FIRST_DELAY_SECONDS
    while True:
        started = loop.time()
        try:
            await start()
        except Exception:
            FAILURES.labels(name).inc()
            if loop.time() - started >= HEALTHY_AFTER_SECONDS:
                delay = FIRST_DELAY_SECONDS
            log.exception("background_task_failed", task=name, restart_in_seconds=delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, LONGEST_DELAY_SECONDS)
        else:
            log.info("background_task_ended", task=name)
            return
