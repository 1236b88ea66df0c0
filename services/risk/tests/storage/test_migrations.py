from __future__ import annotations

import pytest
from risk_world import NOON_MS, Observer, deal, rows_of, set_limit
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from apportion.risk.storage.tables import metadata
from apportion.storage import transaction
from apportion.testing.schema import check_schema


async def refused(engine, statement: str) -> str:
    with pytest.raises(DBAPIError) as failure:
        async with transaction(engine) as tx:
            await tx.execute(text(statement))
    return str(failure.value)


@pytest.fixture
async def tripped(engine, lease, clock) -> None:
    await set_limit(engine)
    observer = Observer(engine, lease, clock)
    for equity in (10_000, 10_000, 8_900):
        await observer.look(equity)
    await deal(engine, 900, 1, NOON_MS)


async def test_the_schema_is_the_declared_one(engine):
    await check_schema(engine, metadata)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trips SET equity_minor = 1",
        "UPDATE trips SET decide_time = now()",
        "UPDATE trips SET state = 3",
        "DELETE FROM trips",
        "TRUNCATE trips CASCADE",
        "UPDATE deals SET flow_minor = 1",
        "DELETE FROM deals",
        "TRUNCATE deals",
        "UPDATE trip_prices SET bid_e8 = 1",
        "DELETE FROM trip_prices",
    ],
)
async def test_evidence_cannot_be_edited(engine, tripped, statement):
    assert "refused: its rows are written once" in (said := await refused(engine, statement)) or "cannot change" in said


async def test_a_trip_only_moves_forward(engine, tripped):
    async with transaction(engine) as tx:
        for state in (2, 3, 4):
            await tx.execute(text(f"UPDATE trips SET state = {state}"))
    for state in (1, 2, 3):
        assert f"state 4 to {state}" in await refused(engine, f"UPDATE trips SET state = {state}")


async def test_a_limit_has_one_live_trip_and_one_a_day(engine, tripped):
    [(names,)] = await rows_of(
        engine,
        """
        SELECT string_agg(column_name, ', ') FROM information_schema.columns
        WHERE table_name = 'trips' AND column_name NOT IN ('trip_id', 'server_day')
        """,
    )
    copy = f"INSERT INTO trips (server_day, {names}) SELECT {{day}}, {names} FROM trips"
    assert "trips_live_key" in await refused(engine, copy.format(day="server_day + 1"))
    async with transaction(engine) as tx:
        for state in (2, 3, 4):
            await tx.execute(text(f"UPDATE trips SET state = {state}"))
    assert "trips_day_key" in await refused(engine, copy.format(day="server_day"))


async def test_a_limit_is_tripped_exactly_when_it_has_a_trip(engine, tripped):
    assert "limits_trip_check" in await refused(engine, "UPDATE limits SET trip_id = 0")
    assert "limits_trip_check" in await refused(engine, "UPDATE limits SET state = 2")
