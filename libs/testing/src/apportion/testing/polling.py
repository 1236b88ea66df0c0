"""Waiting for something to come true, instead of sleeping."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.01
PATIENCE_SECONDS = 120.0
"""For what comes true in a moment on a quiet machine: only a failing test waits so long."""


async def eventually(
    condition: Callable[[], object | Awaitable[object]], timeout_seconds: float = PATIENCE_SECONDS
) -> object:
    """The first true result of `condition`, plain or awaitable. Raises AssertionError when none came in time."""
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_seconds
    while True:
        result = condition()
        if inspect.isawaitable(result):
            result = await result
        if result:
            return result
        if loop.time() > end:
            raise AssertionError(f"not true within {timeout_seconds} s: {condition!r}")
        await asyncio.sleep(POLL_SECONDS)
