"""Change many subscriptions of a master at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.subscriptions import SubscriptionChange
from apportion.allocation.operations.change_subscriptions import change_subscriptions
from apportion.allocation.storage.masters import load_master
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class BatchUpdateSubscriptions:
    """The command; changes by subscription id."""

    key: RequestKey
    master_id: int
    changes: Mapping[int, SubscriptionChange]


@dataclass(frozen=True, slots=True)
class BatchUpdated:
    """What it came to: sums over the active subscriptions."""

    changed_count: int
    lot_sum_e8: int
    percent_sum_e8: int


async def batch_update_subscriptions(
    engine: AsyncEngine, command: BatchUpdateSubscriptions, *, now: datetime
) -> BatchUpdated:
    """All of the changes or none; decisions see all of them or none. Raises what `change_subscriptions` raises."""
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, BatchUpdated, now=now)) is not None:
            return stored
        master = await load_master(tx, command.key.label, command.master_id, lock="update")
        after, sums = await change_subscriptions(tx, master, command.changes)
        updated = BatchUpdated(len(after), sums.lot_e8, sums.percent_e8)
        await store_answer(tx, command.key, updated)
        return updated
