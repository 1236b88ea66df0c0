"""Wait a while for what the workers carry out."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from apportion.runtime import Clock

FIRST_LOOK_SECONDS = 0.01
LONGEST_LOOK_SECONDS = 0.2

T = TypeVar("T")


async def await_outcome(
    clock: Clock, look: Callable[[], Awaitable[T]], is_there: Callable[[T], bool], *, patience_seconds: float
) -> T:
    """What `look` finds as soon as it is there, or as it is when patience ends; looks ever less often."""
    end = clock.monotonic() + patience_seconds
    delay = FIRST_LOOK_SECONDS
    while True:
        found = await look()
        if is_there(found) or clock.monotonic() + delay > end:
            return found
        await asyncio.sleep(delay)
        delay = min(delay * 1.5, LONGEST_LOOK_SECONDS)
