"""What masters have open, by position ticket."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.entries import Entry

LOAD = text(
    """
    SELECT open_volume_e8, last_closing_deal_ticket, stop_loss_e8, take_profit_e8 FROM master_positions
    WHERE master_id = :master_id AND position_ticket = :position_ticket FOR UPDATE
    """
)

SAVE_STOPS = text(
    """
    UPDATE master_positions SET stop_loss_e8 = :stop_loss_e8, take_profit_e8 = :take_profit_e8
    WHERE master_id = :master_id AND position_ticket = :position_ticket AND open_volume_e8 <> 0
    """
)

ENTRIES = text(
    """
    SELECT kind, abs(master_volume_e8) AS volume_e8, price_e8, decide_time, age_ms FROM allocations
    WHERE master_id = :master_id AND position_ticket = :position_ticket AND kind IN (1, 2) AND wave = 0
    ORDER BY allocation_id
    """
)


@dataclass(frozen=True, slots=True)
class MasterPosition:
    open_volume_e8: int
    """Signed."""
    last_closing_deal_ticket: int = 0
    stop_loss_e8: int = 0
    """As it was told last; 0: none."""
    take_profit_e8: int = 0

    @property
    def stops_e8(self) -> tuple[int, int]:
        return self.stop_loss_e8, self.take_profit_e8

    def change_by_close_e8(self, volume_e8: int) -> int:
        """What closing a volume adds to what is open: never more than closes it whole."""
        closed_e8 = min(abs(volume_e8), abs(self.open_volume_e8))
        return -closed_e8 if self.open_volume_e8 > 0 else closed_e8


async def load_position(tx: AsyncConnection, master_id: int, position_ticket: int) -> MasterPosition:
    """Locked until the commit; nothing open when the position was never seen."""
    key = {"master_id": master_id, "position_ticket": position_ticket}
    row = (await tx.execute(LOAD, key)).one_or_none()
    return MasterPosition(0) if row is None else MasterPosition(**row._mapping)


async def read_open_volume_e8(tx: AsyncConnection, master_id: int, position_ticket: int) -> int:
    """As it is now, without a lock; signed."""
    condition = "master_id = :master_id AND position_ticket = :position_ticket"
    query = text(f"SELECT open_volume_e8 FROM master_positions WHERE {condition}")
    key = {"master_id": master_id, "position_ticket": position_ticket}
    volume_e8: int | None = (await tx.execute(query, key)).scalar_one_or_none()
    return volume_e8 or 0


async def save_stops(
    tx: AsyncConnection, master_id: int, position_ticket: int, stop_loss_e8: int, take_profit_e8: int
) -> bool:
    """False when nothing of the position is open; nothing is written then."""
    values = {"stop_loss_e8": stop_loss_e8, "take_profit_e8": take_profit_e8}
    key = {"master_id": master_id, "position_ticket": position_ticket}
    return (await tx.execute(SAVE_STOPS, values | key)).rowcount == 1


async def count_open_positions(tx: AsyncConnection, master_id: int) -> int:
    """How many positions a master has open."""
    query = text("SELECT count(*) FROM master_positions WHERE master_id = :master_id AND open_volume_e8 <> 0")
    count: int = (await tx.execute(query, {"master_id": master_id})).scalar_one()
    return count


async def list_open_positions(tx: AsyncConnection, master_id: int) -> list[int]:
    """Tickets of what a master has open, in their order."""
    query = text(
        """
        SELECT position_ticket FROM master_positions
        WHERE master_id = :master_id AND open_volume_e8 <> 0 ORDER BY position_ticket
        """
    )
    return list((await tx.execute(query, {"master_id": master_id})).scalars())


async def list_entries(tx: AsyncConnection, master_id: int, position_ticket: int) -> list[Entry]:
    """The deals of a position that were decided on, in their order."""
    rows = await tx.execute(ENTRIES, {"master_id": master_id, "position_ticket": position_ticket})
    return [
        Entry(row.kind == 1, row.volume_e8, row.price_e8, row.decide_time - timedelta(milliseconds=row.age_ms))
        for row in rows
    ]
