"""What the database itself refuses to do with payments."""

from __future__ import annotations

import pytest
from payments_world import metadata
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from apportion.storage import transaction
from apportion.testing.schema import check_schema


async def run(world, *statements: str) -> None:
    async with transaction(world.engine) as tx:
        for statement in statements:
            await tx.execute(text(statement))


async def refused(world, *statements: str) -> str:
    with pytest.raises(DBAPIError) as failure:
        await run(world, *statements)
    return str(failure.value)


REFUSE = "UPDATE dues SET state = 4, next_time = now(), settle_time = NULL"
PAY = "UPDATE dues SET state = 3, next_time = NULL, settle_time = now()"
WRITE_OFF = "UPDATE dues SET state = 5, next_time = NULL, settle_time = now()"
REOPEN = "UPDATE dues SET state = 1, next_time = now(), settle_time = NULL, item_id = nextval('dues_items_seq')"


async def test_the_schema_is_the_declared_one(world):
    await check_schema(world.engine, metadata)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE dues SET amount_minor = amount_minor + 1",
        "UPDATE dues SET credit_account_id = 10",
        "UPDATE dues SET due_id = 10",
        "DELETE FROM dues",
        "TRUNCATE dues",
        "DELETE FROM payment_decisions",
        "UPDATE payment_decisions SET cause = ''",
        "TRUNCATE payment_decisions",
    ],
)
async def test_what_is_owed_cannot_be_edited(world, statement):
    await world.owe((47, 5))
    decision = (
        "INSERT INTO payment_decisions VALUES (DEFAULT, 1, 1, 1, 5, 'USD', 'X', 'y', 'z', gen_random_uuid(), now())"
    )
    await run(world, decision)
    assert "its rows are written once" in await refused(world, statement)


async def test_payments_move_along_their_states_only(world):
    await world.owe((47, 5))
    assert "state 1 to 5" in await refused(world, WRITE_OFF)
    await run(world, REFUSE)
    assert "state 4 to 3" in await refused(world, PAY)
    await run(world, REOPEN, PAY)
    for statement in (REFUSE, REOPEN, WRITE_OFF):
        assert "state 3 to" in await refused(world, statement)


async def test_what_was_written_off_stays_so(world):
    await world.owe((47, 5))
    await run(world, REFUSE, WRITE_OFF)
    for statement in (REFUSE, REOPEN, PAY):
        assert "state 5 to" in await refused(world, statement)


async def test_another_item_needs_a_refusal_and_a_refusal_another_item(world):
    await world.owe((47, 5))
    assert "item 1 to 2" in await refused(world, "UPDATE dues SET item_id = nextval('dues_items_seq')")
    await run(world, REFUSE)
    assert "state 4 to 1" in await refused(world, "UPDATE dues SET state = 1")
    assert "item 1 to" in await refused(world, "UPDATE dues SET item_id = nextval('dues_items_seq')")


@pytest.mark.parametrize(("account", "amount", "check"), [(47, 0, "dues_amount_check"), (9, 5, "dues_accounts_check")])
async def test_what_is_no_payment_cannot_be_written(world, account, amount, check):
    with pytest.raises(Exception, match=check):
        await world.owe((account, amount))
