"""Void the opens that were decided before a halt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.storage.halts import save_halt
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class VoidedOpens:
    """The stored answer."""

    halt_epoch: int


async def void_opens(
    engine: AsyncEngine, key: RequestKey, ordering_key: int, halt_epoch: int, *, now: datetime
) -> None:
    """From its commit on no open of the ordering key with a smaller epoch is taken for sending, and none that was
    taken before goes out later than `workers/brakes.py` looks again; the workers end those that wait, as they do with
    what the kill switch stops."""
    async with transaction(engine) as tx:
        if await claim_request(tx, key, VoidedOpens, now=now) is not None:
            return
        await save_halt(tx, key.label, ordering_key, halt_epoch, now)
        await store_answer(tx, key, VoidedOpens(halt_epoch))
