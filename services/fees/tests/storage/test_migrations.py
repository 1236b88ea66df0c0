from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from apportion.fees.storage.tables import metadata
from apportion.storage import transaction
from apportion.testing.schema import check_schema

SCHEMA = "apportion.fees.storage"

CALCULATION = """
    INSERT INTO calculations (label, fee_type, subscription_id, master_id, payer_account_id, payee_account_id,
        child_trade_id, deal_ticket, symbol, closed_volume_e8, currency_code, terms_version, rate_minor, fee_minor,
        line, server_time_ms, create_time)
    VALUES (1, 1, 7, 3, 44, 9, 99, 500, 'EURUSD', :volume, 'USD', 1, 700, :fee, 'x', 0, now())
"""
CHARGE = """
    INSERT INTO charges (calculation_id, label, master_id, payer_account_id, payee_account_id, currency_code,
        amount_minor, state, attempt_count, transfer_id, reason)
    SELECT calculation_id, 1, 3, 44, 9, 'USD', fee_minor, 1, 1, 0, '' FROM calculations
"""
TRANSFER = """
    INSERT INTO transfers (calculation_id, attempt, label, state, transfer_id, reason, send_count, next_send_time,
        create_time)
    SELECT calculation_id, :attempt, 1, 1, 0, '', 0, now(), now() FROM charges
"""
PAY = "UPDATE charges SET state = 2, settle_time = now()"
OWE = "UPDATE charges SET state = 3, next_attempt_time = now()"


async def booked(engine):
    async with transaction(engine) as tx:
        await tx.execute(text(CALCULATION), {"volume": 50_000_000, "fee": 350})
        await tx.execute(text(CHARGE))
        await tx.execute(text(TRANSFER), {"attempt": 1})


async def refused(engine, *statements: str) -> str:
    with pytest.raises(DBAPIError) as failure:
        async with transaction(engine) as tx:
            for statement in statements:
                await tx.execute(text(statement))
    return str(failure.value)


async def test_the_schema_is_the_declared_one(engine_for):
    await check_schema(await engine_for(SCHEMA), metadata)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE calculations SET fee_minor = 0",
        "UPDATE calculations SET line = 'y'",
        "DELETE FROM calculations",
        "TRUNCATE calculations CASCADE",
        "DELETE FROM charges",
        "TRUNCATE charges CASCADE",
        "DELETE FROM transfers",
        "TRUNCATE transfers",
        "UPDATE charges SET amount_minor = amount_minor + 1",
        "UPDATE charges SET payee_account_id = 10",
        "UPDATE charges SET state = 4",
        "UPDATE transfers SET attempt = 2",
    ],
)
async def test_money_rows_cannot_be_edited(engine_for, statement):
    engine = await engine_for(SCHEMA)
    await booked(engine)
    assert "refused: its rows are written once" in (said := await refused(engine, statement)) or "cannot change" in said


async def test_terms_cannot_be_edited(engine_for):
    engine = await engine_for(SCHEMA)
    async with transaction(engine) as tx:
        await tx.execute(text("INSERT INTO terms VALUES (1, 7, 1, 3, 44, 9, 'USD', 700, now())"))
    for statement in ("UPDATE terms SET trade_fee_per_lot_minor = 0", "DELETE FROM terms", "TRUNCATE terms"):
        assert "written once" in await refused(engine, statement)


async def test_a_charge_moves_along_its_states_only(engine_for):
    engine = await engine_for(SCHEMA)
    await booked(engine)
    again = "UPDATE charges SET state = 1, next_attempt_time = NULL, settle_time = NULL"
    async with transaction(engine) as tx:
        await tx.execute(text(OWE))
    assert "state 3 to 2" in await refused(engine, "UPDATE charges SET state = 2, next_attempt_time = NULL")
    async with transaction(engine) as tx:
        await tx.execute(text(again))
        await tx.execute(text(PAY))
    assert "state 2 to 1" in await refused(engine, again)
    assert "state 2 to 3" in await refused(engine, "UPDATE charges SET state = 3, settle_time = NULL")


async def test_a_transfer_never_comes_back_from_its_end(engine_for):
    engine = await engine_for(SCHEMA)
    await booked(engine)
    for end in (3, 4):
        assert f"state {end} to 1" in await refused(
            engine, f"UPDATE transfers SET state = {end}", "UPDATE transfers SET state = 1"
        )


async def test_a_charge_has_one_live_transfer(engine_for):
    engine = await engine_for(SCHEMA)
    await booked(engine)
    second = TRANSFER.replace(":attempt", "2")
    assert "transfers_live_key" in await refused(engine, second)
    assert "transfers_live_key" in await refused(engine, "UPDATE transfers SET state = 3", second)
    async with transaction(engine) as tx:
        await tx.execute(text("UPDATE transfers SET state = 4"))
        await tx.execute(text(second))


async def test_a_fee_that_its_inputs_do_not_give_cannot_be_written(engine_for):
    engine = await engine_for(SCHEMA)
    for volume, wrong in ((50_000_000, 349), (50_000_000, 351), (1, 1)):
        statement = CALCULATION.replace(":volume", str(volume)).replace(":fee", str(wrong))
        assert "calculations_fee_check" in await refused(engine, statement)
