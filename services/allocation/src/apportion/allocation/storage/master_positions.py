"""What masters have open, by position ticket."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

LOAD = text(
    """
    SELECT open_volume_e8, last_closing_deal_ticket FROM master_positions
    WHERE master_id = :master_id AND position_ticket = :position_ticket FOR UPDATE
    """
)


@dataclass(frozen=True, slots=True)
class MasterPosition:
    open_volume_e8: int
    """Signed."""
    last_closing_deal_ticket: int


async def load_position(tx: AsyncConnection, master_id: int, position_ticket: int) -> MasterPosition:
    """Locked until the commit; nothing open when the position was never seen."""
    key = {"master_id": master_id, "position_ticket": position_ticket}
    row = (await tx.execute(LOAD, key)).one_or_none()
    return MasterPosition(0, 0) if row is None else MasterPosition(row.open_volume_e8, row.last_closing_deal_ticket)


async def count_open_positions(tx: AsyncConnection, master_id: int) -> int:
    """How many positions a master has open."""
    query = text("SELECT count(*) FROM master_positions WHERE master_id = :master_id AND open_volume_e8 <> 0")
    count: int = (await tx.execute(query, {"master_id": master_id})).scalar_one()
    return count
