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
    INSERT INTO charges (calculation_id, label, ordering_key, debit_account_id, credit_account_id, currency_code,
        amount_minor, state, reason, transfer_id, attempt_count, send_count, next_time)
    SELECT calculation_id, 1, 3, 44, 9, 'USD', fee_minor, 1, '', 0, 1, 0, now() FROM calculations
"""


async def booked(engine):
    async with transaction(engine) as tx:
        await tx.execute(text(CALCULATION), {"volume": 50_000_000, "fee": 350})
        await tx.execute(text(CHARGE))


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
        "UPDATE charges SET amount_minor = amount_minor + 1",
        "UPDATE charges SET credit_account_id = 10",
        "UPDATE charges SET calculation_id = 10",
        "UPDATE charges SET state = 5",
    ],
)
async def test_money_rows_cannot_be_edited(engine_for, statement):
    engine = await engine_for(SCHEMA)
    await booked(engine)
    said = await refused(engine, statement)
    assert "refused: its rows are written once" in said or "cannot change like this" in said


async def test_terms_cannot_be_edited(engine_for):
    engine = await engine_for(SCHEMA)
    async with transaction(engine) as tx:
        await tx.execute(text("INSERT INTO terms VALUES (1, 7, 1, 3, 44, 9, 'USD', 700, now(), 2)"))
    for statement in ("UPDATE terms SET trade_fee_per_lot_minor = 0", "DELETE FROM terms", "TRUNCATE terms"):
        assert "written once" in await refused(engine, statement)


async def test_a_fee_that_its_inputs_do_not_give_cannot_be_written(engine_for):
    engine = await engine_for(SCHEMA)
    for volume, wrong in ((50_000_000, 349), (50_000_000, 351), (1, 1)):
        statement = CALCULATION.replace(":volume", str(volume)).replace(":fee", str(wrong))
        assert "calculations_fee_check" in await refused(engine, statement)
