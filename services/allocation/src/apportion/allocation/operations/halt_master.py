"""Latch a master: his opening trades are no longer passed on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.masters import Master, halted
from apportion.allocation.storage.masters import load_master, save_halt
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class HaltMaster:
    """The command."""

    key: RequestKey
    master_id: int
    cause: str


async def halt_master(engine: AsyncEngine, command: HaltMaster, *, now: datetime) -> Master:
    """The master with the cause's latch. Opens that were decided but not sent yet are void from here on.

    Raises NotFound.
    """
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, Master, now=now)) is not None:
            return stored
        master = halted(await load_master(tx, command.key.label, command.master_id, lock="update"), command.cause)
        await save_halt(tx, master)
        await store_answer(tx, command.key, master)
        return master
