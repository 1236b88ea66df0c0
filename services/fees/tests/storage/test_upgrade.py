"""Charges that were on their way when they became payments."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files

import pytest
from fees_world import rows_of
from sqlalchemy import text

from apportion.storage import create_engine, migrate, transaction

SCHEMA = "apportion.fees.storage"
CALCULATIONS = """
    INSERT INTO calculations (label, fee_type, subscription_id, master_id, payer_account_id, payee_account_id,
        child_trade_id, deal_ticket, symbol, closed_volume_e8, currency_code, terms_version, rate_minor, fee_minor,
        line, server_time_ms, create_time)
    SELECT 1, 1, 7, 3, 44, 9, n, n, 'EURUSD', 50000000, 'USD', 1, 700, 350, 'x', 0, now() FROM generate_series(1, 4) n
"""
CHARGES = """
    INSERT INTO charges (calculation_id, label, master_id, payer_account_id, payee_account_id, currency_code,
        amount_minor, state, attempt_count, transfer_id, reason, next_attempt_time, settle_time)
    VALUES (1, 1, 3, 44, 9, 'USD', 350, 1, 1, 0, '', NULL, NULL),
           (2, 1, 3, 44, 9, 'USD', 350, 1, 2, 70, '', NULL, NULL),
           (3, 1, 3, 44, 9, 'USD', 350, 2, 1, 71, '', NULL, now()),
           (4, 1, 3, 44, 9, 'USD', 350, 3, 1, 72, 'NO_MONEY', now(), NULL)
"""
TERMS = """
    INSERT INTO terms (label, subscription_id, version, master_id, payer_account_id, payee_account_id, currency_code,
        trade_fee_per_lot_minor, update_time)
    SELECT 1, n, 1, 3, 44, 9, code, 700, now() FROM unnest('{USD,JPY,KWD,USC}'::text[]) WITH ORDINALITY AS c (code, n)
"""
ANSWERS = """
    INSERT INTO request_ids (label, method, request_id, input_hash, answer, created_time)
    VALUES (1, 'SetTerms', gen_random_uuid(), '', '{"subscription_id": 2, "version": 1}', now())
"""
TRANSFERS = """
    INSERT INTO transfers (calculation_id, attempt, label, state, transfer_id, reason, send_count, next_send_time,
        create_time)
    VALUES (1, 1, 1, 1, 0, '', 3, now(), now()), (2, 1, 1, 4, 70, 'NO_MONEY', 1, now(), now()),
           (3, 1, 1, 3, 71, '', 1, now(), now()), (4, 1, 1, 4, 72, 'NO_MONEY', 1, now(), now()),
           (2, 2, 1, 2, 0, '', 1, now(), now())
"""


@pytest.fixture
async def old_url(make_database, tmp_path, monkeypatch) -> str:
    """A database of the first version."""
    folder = tmp_path / "old_fees" / "migrations"
    folder.mkdir(parents=True)
    with as_file(files(SCHEMA) / "migrations") as migrations:
        shutil.copy(migrations / "0001_fees.py", folder)
    monkeypatch.syspath_prepend(tmp_path)
    return await make_database("old_fees")


async def test_each_charge_keeps_the_item_of_its_newest_attempt(old_url):
    engine = create_engine(old_url)
    try:
        async with transaction(engine) as tx:
            for statement in (CALCULATIONS, CHARGES, TRANSFERS):
                await tx.execute(text(statement))
        await engine.dispose()
        await migrate(old_url, SCHEMA)
        shown = "SELECT calculation_id, item_id, state, attempt_count, send_count, next_time IS NULL FROM charges"
        assert await rows_of(engine, f"{shown} ORDER BY 1") == [
            (1, 1, 1, 1, 3, False),
            (2, 5, 2, 2, 1, True),
            (3, 3, 3, 1, 1, True),
            (4, 4, 4, 1, 1, False),
        ]
        assert await rows_of(engine, "SELECT nextval('charges_items_seq')") == [(6,)]
    finally:
        await engine.dispose()


async def test_terms_get_the_digits_that_they_were_shown_with(old_url):
    engine = create_engine(old_url)
    try:
        async with transaction(engine) as tx:
            for statement in (TERMS, ANSWERS):
                await tx.execute(text(statement))
        await engine.dispose()
        await migrate(old_url, SCHEMA)
        shown = "SELECT currency_code, currency_digits FROM terms ORDER BY subscription_id"
        assert await rows_of(engine, shown) == [("USD", 2), ("JPY", 0), ("KWD", 3), ("USC", 2)]
        assert await rows_of(engine, "SELECT answer::jsonb ->> 'currency_digits' FROM request_ids") == [("0",)]
    finally:
        await engine.dispose()
