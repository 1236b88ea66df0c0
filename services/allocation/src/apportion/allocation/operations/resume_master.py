"""Release a latch of a master."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.masters import Master, resumed
from apportion.allocation.storage.masters import load_master, save_halt
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class ResumeMaster:
    """The command."""

    key: RequestKey
    master_id: int
    cause: str


async def resume_master(engine: AsyncEngine, command: ResumeMaster, *, now: datetime) -> Master:
    """The master without the cause's latch; he stays halted while others hold theirs.

    Raises NotFound or HaltCauseMismatch.
    """
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, Master, now=now)) is not None:
            return stored
        master = resumed(await load_master(tx, command.key.label, command.master_id, lock="update"), command.cause)
        await save_halt(tx, master)
        await store_answer(tx, command.key, master)
        return master
