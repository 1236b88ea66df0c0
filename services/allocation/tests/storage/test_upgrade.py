"""Payouts that were on their way when they became payments."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files

import pytest
from sqlalchemy import text

from apportion.storage import create_engine, migrate, transaction

SCHEMA = "apportion.allocation.storage"
PAYMENTS_VERSION = "0012"
DISTRIBUTION = """
    INSERT INTO distributions VALUES
        (1, 1, 3, 2, 900, 900, 'USD', 1, 100, 1000, -10, -5, 1000000000, 2, 700, '', now())
"""
PAYOUTS = """
    INSERT INTO payouts (allocation_id, subscription_id, label, master_account_id, account_id, currency_code,
        amount_minor, state, reason, transfer_id, attempt_count, send_count, next_time, settle_time)
    VALUES (1, 1, 1, 64, 101, 'USD', 500, 1, '', 0, 1, 2, now(), NULL),
           (1, 2, 1, 64, 102, 'USD', -200, 2, '', 0, 1, 1, NULL, NULL),
           (1, 3, 1, 64, 103, 'USD', 300, 3, '', 70, 1, 1, NULL, now()),
           (1, 4, 1, 64, 104, 'USD', -100, 4, 'INSUFFICIENT_FUNDS', 71, 3, 1, now(), NULL)
"""


@pytest.fixture
async def old_url(make_database, tmp_path, monkeypatch) -> str:
    """A database of the version before."""
    folder = tmp_path / "old_allocation" / "migrations"
    folder.mkdir(parents=True)
    with as_file(files(SCHEMA) / "migrations") as migrations:
        older = [path for path in migrations.glob("0*.py") if path.name < PAYMENTS_VERSION]
        for path in older:
            shutil.copy(path, folder)
    monkeypatch.syspath_prepend(tmp_path)
    return await make_database("old_allocation")


async def test_payouts_keep_their_items_and_name_who_pays(old_url):
    engine = create_engine(old_url)
    try:
        async with transaction(engine) as tx:
            await tx.execute(text("SET LOCAL session_replication_role = replica"))  # no decision is needed here
            for statement in (DISTRIBUTION, PAYOUTS):
                await tx.execute(text(statement))
        await engine.dispose()
        await migrate(old_url, SCHEMA)
        async with transaction(engine) as tx:
            columns = "item_id, ordering_key, debit_account_id, credit_account_id, amount_minor, state"
            rows = [tuple(row) for row in await tx.execute(text(f"SELECT {columns} FROM payouts ORDER BY item_id"))]
            assert rows == [
                (1, 64, 64, 101, 500, 1),
                (2, 64, 102, 64, 200, 2),
                (3, 64, 64, 103, 300, 3),
                (4, 64, 104, 64, 100, 4),
            ]
            rest = await tx.execute(text("SELECT undistributed_minor, undistributed_reason FROM distributions"))
            assert [tuple(row) for row in rest] == [(285, "")]
            assert (await tx.execute(text("SELECT nextval('payouts_items_seq')"))).scalar_one() == 5
    finally:
        await engine.dispose()
