"""Wait a while for a transfer that the workers carry out."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.transfers import Transfer
from apportion.platform_groups.storage.transfers import load_transfer
from apportion.runtime import Clock
from apportion.storage import transaction

FIRST_LOOK_SECONDS = 0.01
LONGEST_LOOK_SECONDS = 0.2


async def await_transfer(
    engine: AsyncEngine, clock: Clock, label: int, transfer_id: int, *, patience_seconds: float
) -> Transfer:
    """The transfer when it has finished, or as it is when patience ends. Raises NotFound."""
    end = clock.monotonic() + patience_seconds
    delay = FIRST_LOOK_SECONDS
    while True:
        async with transaction(engine) as tx:
            transfer = await load_transfer(tx, label, transfer_id)
        if transfer.finished or clock.monotonic() + delay > end:
            return transfer
        await asyncio.sleep(delay)
        delay = min(delay * 1.5, LONGEST_LOOK_SECONDS)
