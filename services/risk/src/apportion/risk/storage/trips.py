"""Trips with their evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.risk.domain.limits import Alarm, Basis, DailyLimit
from apportion.risk.domain.snapshots import SnapshotSource
from apportion.risk.domain.trips import Close, Evidence, Price, Trip, TripDetails, TripState
from apportion.risk.storage import tables
from apportion.storage import copy_rows

ROWS = tables.trips
EVIDENCE = tuple(field.name for field in fields(Evidence))
PROGRESS = (
    "state",
    "is_halted",
    "closing_id",
    "closing_round",
    "flat_time",
    "achieved_equity_minor",
    "rearm_time",
    "attempt_count",
    "failure_count",
    "last_error",
    "next_attempt_time",
)


async def insert_trip(
    tx: AsyncConnection, limit: DailyLimit, evidence: Evidence, prices: Sequence[Price], now: datetime
) -> Trip:
    """A new trip of the limit, TRIPPED."""
    values = {
        "label": limit.label,
        "master_id": limit.master_id,
        "account_id": limit.account_id,
        "trading_server_id": limit.trading_server_id,
        "state": TripState.TRIPPED,
        **asdict(evidence),
        "is_halted": False,
        "closing_id": 0,
        "closing_round": 0,
        "achieved_equity_minor": 0,
        "attempt_count": 0,
        "failure_count": 0,
        "last_error": "",
        "next_attempt_time": now,
    }
    row = (await tx.execute(insert(ROWS).values(values).returning(ROWS))).one()
    trip = _trip(row)
    if prices:
        await tx.execute(insert(tables.trip_prices), [{"trip_id": trip.trip_id, **asdict(price)} for price in prices])
    return trip


async def load_trip(tx: AsyncConnection, trip_id: int, *, for_update: bool = False) -> Trip | None:
    """Of any label: for the worker."""
    query = select(ROWS).where(ROWS.c.trip_id == trip_id)
    row = (await tx.execute(query.with_for_update() if for_update else query)).one_or_none()
    return None if row is None else _trip(row)


async def load_trip_details(tx: AsyncConnection, label: int, trip_id: int) -> TripDetails | None:
    """With prices and closes; None when the label has no such trip."""
    row = (await tx.execute(select(ROWS).where(ROWS.c.label == label, ROWS.c.trip_id == trip_id))).one_or_none()
    if row is None:
        return None
    prices, closes = tables.trip_prices.c, tables.trip_closes.c
    price_rows = await tx.execute(
        select(prices.symbol, prices.bid_e8, prices.ask_e8, prices.server_time_ms)
        .where(prices.trip_id == trip_id)
        .order_by(prices.symbol)
    )
    close_rows = await tx.execute(
        select(closes.position_ticket, closes.volume_e8, closes.price_e8, closes.server_time_ms)
        .where(closes.trip_id == trip_id)
        .order_by(closes.closing_round, closes.line)
    )
    return TripDetails(
        _trip(row), tuple(Price(*price) for price in price_rows), tuple(Close(*one) for one in close_rows)
    )


async def list_trips(tx: AsyncConnection, label: int, master_id: int, *, before: int, limit: int) -> list[Trip]:
    """Newest first, from the one before `before`; master 0: of all masters."""
    query = select(ROWS).where(ROWS.c.label == label, ROWS.c.trip_id < before)
    if master_id:
        query = query.where(ROWS.c.master_id == master_id)
    return [_trip(row) for row in await tx.execute(query.order_by(ROWS.c.trip_id.desc()).limit(limit))]


async def list_due_trips(
    tx: AsyncConnection, shards: int, held: Sequence[int], now: datetime, limit: int
) -> list[Trip]:
    """Trips that wait for their next step, longest waiting first."""
    query = (
        select(ROWS)
        .where(
            ROWS.c.state != TripState.REARMED,
            ROWS.c.next_attempt_time <= now,
            (ROWS.c.trading_server_id % shards).in_(held),
        )
        .order_by(ROWS.c.next_attempt_time)
        .limit(limit)
    )
    return [_trip(row) for row in await tx.execute(query)]


async def count_failing_trips(tx: AsyncConnection, shards: int, held: Sequence[int]) -> int:
    """Trips whose last step failed."""
    query = select(func.count()).where(
        ROWS.c.state != TripState.REARMED,
        ROWS.c.failure_count > 0,
        (ROWS.c.trading_server_id % shards).in_(held),
    )
    count: int = (await tx.execute(query)).scalar_one()
    return count


async def save_progress(tx: AsyncConnection, trip: Trip) -> None:
    """Everything that may change; the evidence does not."""
    values = {name: getattr(trip, name) for name in PROGRESS}
    await tx.execute(update(ROWS).where(ROWS.c.trip_id == trip.trip_id).values(values))


async def save_closes(tx: AsyncConnection, trip_id: int, closing_round: int, closes: Sequence[Close]) -> None:
    """What one round of closing closed."""
    await copy_rows(
        tx,
        tables.trip_closes,
        {
            "trip_id": trip_id,
            "closing_round": closing_round,
            "line": list(range(len(closes))),
            "position_ticket": [close.position_ticket for close in closes],
            "volume_e8": [close.volume_e8 for close in closes],
            "price_e8": [close.price_e8 for close in closes],
            "server_time_ms": [close.server_time_ms for close in closes],
        },
    )


async def wake_closed_trips(tx: AsyncConnection, trading_server_id: int, server_day: int, now: datetime) -> int:
    """A new day began on the server: its closed trips of earlier days are due. How many."""
    query = (
        update(ROWS)
        .where(
            ROWS.c.trading_server_id == trading_server_id,
            ROWS.c.state == TripState.CLOSED,
            ROWS.c.server_day < server_day,
            ROWS.c.next_attempt_time > now,
            ROWS.c.failure_count == 0,
        )
        .values(next_attempt_time=now)
    )
    return (await tx.execute(query)).rowcount


def _trip(row: Row[Any]) -> Trip:
    values = dict(row._mapping)
    evidence = {name: values.pop(name) for name in EVIDENCE}
    kinds = {
        "basis": Basis(evidence["basis"]),
        "alarm": Alarm(evidence["alarm"]),
        "snapshot_source": SnapshotSource(evidence["snapshot_source"]),
    }
    return Trip(**values | {"state": TripState(values["state"]), "evidence": Evidence(**evidence | kinds)})
