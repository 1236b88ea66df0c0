"""Rows of closings; what they closed is in their orders."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.errors import NotFound
from apportion.platform_groups.domain.accounts import Account
from apportion.platform_groups.domain.closings import Closing
from apportion.platform_groups.domain.states import ClosingState

COLUMNS = """closing_id, label, account_id, trading_server_id, state, attempt_count, attempt_time, flat_count,
    last_error, create_time, flat_time"""


async def insert_closing(tx: AsyncConnection, account: Account, cause: str, now: datetime) -> int:
    query = text(
        """INSERT INTO closings (label, account_id, trading_server_id, shard, state, cause, create_time)
        VALUES (:label, :account_id, :server_id, :shard, 1, :cause, :now) RETURNING closing_id"""
    )
    values = {
        "label": account.label,
        "account_id": account.account_id,
        "server_id": account.trading_server_id,
        "shard": account.shard,
        "cause": cause,
        "now": now,
    }
    return int((await tx.execute(query, values)).scalar_one())


async def load_closing(tx: AsyncConnection, label: int, closing_id: int) -> Closing:
    """With all that it closed. Raises NotFound."""
    query = text(f"SELECT {COLUMNS} FROM closings WHERE label = :label AND closing_id = :id")
    row = (await tx.execute(query, {"label": label, "id": closing_id})).one_or_none()
    if row is None:
        raise NotFound("closing", closing_id)
    done = text(
        """SELECT position_ticket, price_e8, filled_volume_e8, server_time_ms FROM orders
        WHERE closing_id = :id AND filled_volume_e8 <> 0 ORDER BY order_id"""
    )
    closed = (await tx.execute(done, {"id": closing_id})).all()
    return _closing(row, closed)


async def list_running(tx: AsyncConnection, trading_server_id: int, shards: Sequence[int]) -> list[Closing]:
    query = text(
        f"""SELECT {COLUMNS} FROM closings WHERE trading_server_id = :id AND state = 1
        AND shard = ANY(CAST(:shards AS bigint[])) ORDER BY closing_id LIMIT 1000"""
    )
    rows = await tx.execute(query, {"id": trading_server_id, "shards": list(shards)})
    return [_closing(row, ()) for row in rows]


async def live_tickets(tx: AsyncConnection, closing_id: int) -> set[int]:
    """Positions that the closing has an unfinished close order for."""
    query = text("SELECT position_ticket FROM orders WHERE closing_id = :id AND state < 4")
    return set((await tx.execute(query, {"id": closing_id})).scalars())


async def save_attempt(tx: AsyncConnection, closing_id: int, now: datetime) -> int:
    """The number of the attempt that begins. What was counted as flat counts no more."""
    query = text(
        """UPDATE closings SET attempt_count = attempt_count + 1, attempt_time = :now, flat_count = 0, last_error = ''
        WHERE closing_id = :id RETURNING attempt_count"""
    )
    return int((await tx.execute(query, {"id": closing_id, "now": now})).scalar_one())


async def save_flat(tx: AsyncConnection, closing_id: int, needed: int, now: datetime) -> bool:
    """One more complete report without positions; True when it was the last one needed."""
    query = text(
        """UPDATE closings SET flat_count = flat_count + 1, last_error = '',
            state = CASE WHEN flat_count + 1 >= :needed THEN 2 ELSE 1 END,
            flat_time = CASE WHEN flat_count + 1 >= :needed THEN CAST(:now AS timestamptz) END
        WHERE closing_id = :id AND state = 1 RETURNING state"""
    )
    result = (await tx.execute(query, {"id": closing_id, "needed": needed, "now": now})).scalar_one_or_none()
    return result == ClosingState.FLAT


async def save_error(tx: AsyncConnection, closing_id: int, error: str) -> None:
    query = text("UPDATE closings SET last_error = :error, flat_count = 0 WHERE closing_id = :id AND state = 1")
    await tx.execute(query, {"id": closing_id, "error": error})


def _closing(row: Any, closed: Sequence[Any]) -> Closing:
    return Closing(
        closing_id=row.closing_id,
        label=row.label,
        account_id=row.account_id,
        trading_server_id=row.trading_server_id,
        state=ClosingState(row.state),
        attempt_count=row.attempt_count,
        attempt_time=row.attempt_time,
        flat_count=row.flat_count,
        last_error=row.last_error,
        create_time=row.create_time,
        flat_time=row.flat_time,
        position_tickets=tuple(line.position_ticket for line in closed),
        prices_e8=tuple(line.price_e8 for line in closed),
        volumes_e8=tuple(line.filled_volume_e8 for line in closed),
        server_times_ms=tuple(line.server_time_ms for line in closed),
    )
