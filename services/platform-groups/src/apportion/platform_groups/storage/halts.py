"""How many halts each ordering key has had: an open that was decided when it had fewer is void.

It is looked at when orders are taken for sending, not when they are accepted: so none slips past whose acceptance and
a halt ran side by side.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


async def save_halt(tx: AsyncConnection, label: int, ordering_key: int, halt_epoch: int, now: datetime) -> None:
    """An epoch never goes back: a call that was late changes nothing."""
    query = text(
        """INSERT INTO halts AS h (label, ordering_key, halt_epoch, change_time)
        VALUES (:label, :ordering_key, :halt_epoch, :now)
        ON CONFLICT ON CONSTRAINT halts_pkey DO UPDATE SET halt_epoch = :halt_epoch, change_time = :now
        WHERE h.halt_epoch < :halt_epoch"""
    )
    await tx.execute(query, {"label": label, "ordering_key": ordering_key, "halt_epoch": halt_epoch, "now": now})
