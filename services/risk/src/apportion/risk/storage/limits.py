"""Daily limits and their day starts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.errors import VersionConflict
from apportion.money import Int64Array
from apportion.risk.domain.limits import Alarm, Basis, DailyLimit, LimitState, NewDayStart
from apportion.risk.domain.trips import LIMIT_STATES, Trip, TripState
from apportion.risk.storage import tables
from apportion.storage import constraint_errors, fetch_arrays

ROWS = tables.limits

# A trading server belongs to one label.
SERVERS = text(
    "SELECT DISTINCT trading_server_id, label FROM limits WHERE trading_server_id % :shards = ANY(:held) ORDER BY 1"
)
# Every change of a limit raises its version, so the sum tells whether anything changed.
DIGEST = text(
    "SELECT count(*), coalesce(sum(version), 0)::bigint FROM limits WHERE trading_server_id = :trading_server_id"
)
LIMITED = "SELECT account_id FROM limits WHERE label = $1 AND account_id = ANY($2::bigint[])"
START_DAYS = f"""
    UPDATE limits SET
        state = {LimitState.ARMED:d}, server_day = $2, day_start_equity_minor = new.equity_minor,
        day_start_balance_minor = new.balance_minor, day_start_credit_minor = new.credit_minor, day_start_time_ms = $3,
        day_start_ticket = new.ticket, day_flow_minor = 0, alarm = '', version = limits.version + 1, update_time = $1
    FROM unnest($4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[])
        AS new (label, master_id, version, equity_minor, balance_minor, credit_minor, ticket)
    WHERE limits.label = new.label AND limits.master_id = new.master_id AND limits.version = new.version
      AND state IN ({LimitState.WAITING:d}, {LimitState.ARMED:d}) AND server_day < $2
    RETURNING limits.master_id
"""
NOTE = """
    UPDATE limits SET day_flow_minor = new.flow_minor, alarm = new.alarm, version = limits.version + 1, update_time = $1
    FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[])
        AS new (label, master_id, version, flow_minor, alarm)
    WHERE limits.label = new.label AND limits.master_id = new.master_id AND limits.version = new.version
"""


async def load_limit(tx: AsyncConnection, label: int, master_id: int, *, for_update: bool = False) -> DailyLimit | None:
    """The limit of a master, if it has one."""
    query = select(ROWS).where(ROWS.c.label == label, ROWS.c.master_id == master_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else _limit(row)


async def list_limits(tx: AsyncConnection, label: int, *, after: int, limit: int) -> list[DailyLimit]:
    """In master order, from the one behind `after`."""
    query = select(ROWS).where(ROWS.c.label == label, ROWS.c.master_id > after).order_by(ROWS.c.master_id).limit(limit)
    return [_limit(row) for row in await tx.execute(query)]


async def load_limits_of_server(tx: AsyncConnection, trading_server_id: int) -> list[DailyLimit]:
    """All of them."""
    return [_limit(row) for row in await tx.execute(select(ROWS).where(ROWS.c.trading_server_id == trading_server_id))]


async def limits_digest(tx: AsyncConnection, trading_server_id: int) -> tuple[int, int]:
    """Differs after any change to a limit of the server."""
    count, version_sum = (await tx.execute(DIGEST, {"trading_server_id": trading_server_id})).one()
    return count, version_sum


async def list_trading_servers(tx: AsyncConnection, shards: int, held: Sequence[int]) -> dict[int, int]:
    """Servers with limits whose number is, modulo `shards`, one of `held`; and the label of each."""
    rows = await tx.execute(SERVERS, {"shards": shards, "held": list(held)})
    return {row.trading_server_id: row.label for row in rows}


async def limited_accounts(tx: AsyncConnection, label: int, account_ids: Int64Array) -> list[int]:
    """Those of the accounts that have a limit."""
    return [row["account_id"] for row in await fetch_arrays(tx, LIMITED, label, account_ids)]


async def insert_limit(tx: AsyncConnection, limit: DailyLimit) -> None:
    """Raises VersionConflict when another call made it first."""
    values = {column.name: getattr(limit, column.name) for column in ROWS.columns}
    conflict = VersionConflict("the limit was set by another call")
    with constraint_errors({"limits_pkey": conflict, "limits_account_key": conflict}):
        await tx.execute(insert(ROWS).values(values))


async def update_limit(tx: AsyncConnection, limit: DailyLimit) -> None:
    """Writes a row that this transaction has locked."""
    values = {column.name: getattr(limit, column.name) for column in ROWS.columns}
    await tx.execute(
        update(ROWS).where(ROWS.c.label == limit.label, ROWS.c.master_id == limit.master_id).values(values)
    )


async def show_trip(tx: AsyncConnection, trip: Trip, now: datetime) -> None:
    """The limit shows the state of its trip, and names the trip until it is over."""
    values = {
        "state": LIMIT_STATES[trip.state],
        "trip_id": 0 if trip.state is TripState.REARMED else trip.trip_id,
        "alarm": Alarm.NONE,
        "version": ROWS.c.version + 1,
        "update_time": now,
    }
    await tx.execute(update(ROWS).where(ROWS.c.label == trip.label, ROWS.c.master_id == trip.master_id).values(values))


async def start_days(
    tx: AsyncConnection, starts: Sequence[NewDayStart], *, server_day: int, server_time_ms: int, now: datetime
) -> int:
    """Arms limits for a new day, unless they changed meanwhile; how many."""
    rows = await fetch_arrays(
        tx,
        START_DAYS,
        now,
        server_day,
        server_time_ms,
        [start.limit.label for start in starts],
        [start.limit.master_id for start in starts],
        [start.limit.version for start in starts],
        [start.equity_minor for start in starts],
        [start.balance_minor for start in starts],
        [start.credit_minor for start in starts],
        [start.ticket for start in starts],
    )
    return len(rows)


async def note_observations(tx: AsyncConnection, noted: Sequence[tuple[DailyLimit, int, Alarm]], now: datetime) -> None:
    """Shows the flow and the alarm that the watch found: (limit as read, flow, alarm)."""
    await fetch_arrays(
        tx,
        NOTE,
        now,
        [limit.label for limit, _, _ in noted],
        [limit.master_id for limit, _, _ in noted],
        [limit.version for limit, _, _ in noted],
        [flow_minor for _, flow_minor, _ in noted],
        [str(alarm) for _, _, alarm in noted],
    )


def _limit(row: Row[tuple[object, ...]]) -> DailyLimit:
    values = dict(row._mapping)
    kinds = {
        "basis": Basis(values["basis"]),
        "state": LimitState(values["state"]),
        "alarm": Alarm(values["alarm"]),
    }
    return DailyLimit(**values | kinds)
