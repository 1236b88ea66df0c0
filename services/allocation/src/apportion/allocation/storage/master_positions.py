"""What masters have open, by position ticket."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

ADD = text(
    """
    INSERT INTO master_positions AS p (master_id, position_ticket, open_volume_e8, last_closing_deal_ticket)
    VALUES (:master_id, :position_ticket, :volume_e8, :closing_deal_ticket)
    ON CONFLICT ON CONSTRAINT master_positions_pkey DO UPDATE
    SET open_volume_e8 = p.open_volume_e8 + excluded.open_volume_e8,
        last_closing_deal_ticket = greatest(p.last_closing_deal_ticket, excluded.last_closing_deal_ticket)
    """
)
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


async def change_position(
    tx: AsyncConnection, master_id: int, position_ticket: int, volume_e8: int, *, closing_deal_ticket: int = 0
) -> None:
    """Adds a signed volume to what is open."""
    await tx.execute(
        ADD,
        {
            "master_id": master_id,
            "position_ticket": position_ticket,
            "volume_e8": volume_e8,
            "closing_deal_ticket": closing_deal_ticket,
        },
    )
