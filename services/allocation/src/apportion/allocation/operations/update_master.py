"""Change the terms of a master."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.masters import Master, MasterChange, changed
from apportion.allocation.domain.subscriptions import check_sign
from apportion.allocation.operations.change_subscriptions import check_sums
from apportion.allocation.storage.master_positions import count_open_positions
from apportion.allocation.storage.masters import load_master, save_terms
from apportion.allocation.storage.subscriptions import load_reversed
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class UpdateMaster:
    """The command."""

    key: RequestKey
    master_id: int
    change: MasterChange


async def update_master(engine: AsyncEngine, command: UpdateMaster, *, now: datetime) -> Master:
    """The changed master; concerns later opens only.

    Raises NotFound, NameTaken, PercentSum and what `changed` and `check_sign` raise.
    """
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, Master, now=now)) is not None:
            return stored
        before = await load_master(tx, command.key.label, command.master_id, lock="update")
        master = changed(before, command.change, open_count=await count_open_positions(tx, before.master_id))
        if master is not before:
            await save_terms(tx, master)
            await check_sums(tx, master)
            if master.allocation_mode is not before.allocation_mode:
                subscription = await load_reversed(tx, master.label, master.master_id)
                if subscription is not None:
                    check_sign(master, subscription)
        await store_answer(tx, command.key, master)
        return master
