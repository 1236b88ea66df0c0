"""Latch a master: his opening trades are no longer passed on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.masters import Master, halted
from apportion.allocation.operations.ports import Orders
from apportion.allocation.storage.masters import load_master, save_halt
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class HaltMaster:
    """The command."""

    key: RequestKey
    master_id: int
    cause: str


async def halt_master(engine: AsyncEngine, orders: Orders, command: HaltMaster, *, now: datetime) -> Master:
    """The master with the cause's latch. Opens that were decided but not sent yet are void from here on, here and at
    platform-groups.

    Raises NotFound, and the DomainError of platform-groups: the latch is set then, and a repeat of the command tells
    platform-groups again.
    """
    master = await _latch(engine, command, now)
    await orders.void_opens(master.label, master.account_id, master.halt_epoch)
    return master


async def _latch(engine: AsyncEngine, command: HaltMaster, now: datetime) -> Master:
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, Master, now=now)) is not None:
            return stored
        master = halted(await load_master(tx, command.key.label, command.master_id, lock="update"), command.cause)
        await save_halt(tx, master)
        await store_answer(tx, command.key, master)
        return master
