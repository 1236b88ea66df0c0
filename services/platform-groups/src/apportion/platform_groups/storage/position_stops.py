"""Stop loss and take profit of masters' open positions, as last told to the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.platform_groups.domain.position_stops import Stops
from apportion.storage import fetch_arrays

INSERT = """
    INSERT INTO position_stops (trading_server_id, position_ticket, account_id, stop_loss_e8, take_profit_e8,
        update_time, lasting_ticket)
    SELECT $1::bigint, s.position_ticket, s.account_id, s.stop_loss_e8, s.take_profit_e8, $2::timestamptz,
        s.lasting_ticket
    FROM unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
        AS s (position_ticket, account_id, stop_loss_e8, take_profit_e8, lasting_ticket)
    ON CONFLICT ON CONSTRAINT position_stops_pkey
"""
KEEP = f"{INSERT} DO NOTHING"
REPLACE = f"""{INSERT} DO UPDATE SET stop_loss_e8 = excluded.stop_loss_e8, take_profit_e8 = excluded.take_profit_e8,
    update_time = excluded.update_time"""


async def insert_opened(tx: AsyncConnection, trading_server_id: int, stops: Mapping[int, Stops], now: datetime) -> None:
    """Of positions that were opened; a further deal of a known position changes nothing."""
    if stops:
        await _put(tx, KEEP, trading_server_id, stops, now)


async def load_stops(tx: AsyncConnection, trading_server_id: int) -> dict[int, Stops]:
    """All that are known, by position ticket."""
    query = text(
        """SELECT position_ticket, account_id, stop_loss_e8, take_profit_e8, lasting_ticket FROM position_stops
        WHERE trading_server_id = :id"""
    )
    rows = await tx.execute(query, {"id": trading_server_id})
    return {
        row.position_ticket: Stops(row.account_id, row.stop_loss_e8, row.take_profit_e8, row.lasting_ticket)
        for row in rows
    }


async def save_stops(tx: AsyncConnection, trading_server_id: int, stops: Mapping[int, Stops], now: datetime) -> None:
    if stops:
        await _put(tx, REPLACE, trading_server_id, stops, now)


async def delete_stops(
    tx: AsyncConnection, trading_server_id: int, position_tickets: Sequence[int], asked_time: datetime
) -> None:
    """Of positions that a complete report did not show any more; those opened since it was asked for stay."""
    query = text(
        """DELETE FROM position_stops WHERE trading_server_id = :id
        AND position_ticket = ANY(CAST(:tickets AS bigint[])) AND update_time < :asked_time"""
    )
    await tx.execute(query, {"id": trading_server_id, "tickets": list(position_tickets), "asked_time": asked_time})


async def _put(
    tx: AsyncConnection, statement: str, trading_server_id: int, stops: Mapping[int, Stops], now: datetime
) -> None:
    await fetch_arrays(
        tx,
        statement,
        trading_server_id,
        now,
        list(stops),
        [each.account_id for each in stops.values()],
        [each.stop_loss_e8 for each in stops.values()],
        [each.take_profit_e8 for each in stops.values()],
        [each.lasting_ticket or ticket for ticket, each in stops.items()],
    )
