"""What was there before a version, as that version has it."""

from __future__ import annotations

import shutil
from importlib.resources import as_file, files

import pytest
from sqlalchemy import text

from apportion.storage import create_engine, migrate, transaction

SCHEMA = "apportion.allocation.storage"
PAYMENTS_VERSION, DIGITS_VERSION = "0012", "0018"
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


MASTERS = """
    INSERT INTO masters (label, name, account_type, account_id, account_login, trading_server_id, wallet_account_id,
        currency_code, method, rounding, listed_on_leaderboard, min_follower_equity_minor, halt_causes, halt_epoch,
        set_version, version, active_subscription_count, create_time, allocation_mode, artificial_symbol, residual_rule)
    SELECT 1, code, 1, n, n, 1, 9, code, 7, 1, false, 0, '{}', 0, 1, 1, 0, now(), 1, 'X', 1
    FROM unnest('{USD,JPY,KWD,USC}'::text[]) WITH ORDINALITY AS c (code, n)
"""
ANSWERS = """
    INSERT INTO request_ids (label, method, request_id, input_hash, answer, created_time)
    VALUES (1, 'HaltMaster', gen_random_uuid(), '', '{"master_id": 2, "currency_code": "JPY"}', now()),
           (1, 'UpdateSubscription', gen_random_uuid(), '', '{"master_id": 2}', now())
"""
DECISIONS = """
    INSERT INTO allocations (label, master_id, kind, deal_ticket, wave, position_ticket, symbol,
        master_volume_e8, before_volume_e8, price_e8, server_time_ms, method, rounding, volume_step_e8, min_volume_e8,
        max_volume_e8, master_basis, blanket_reason, set_version, halt_epoch, row_count, child_count, skipped_count,
        volume_unit_e8, unit_sum, volume_bytes, volumes, reasons, basis_bytes, bases, child_trade_ids,
        position_tickets, decide_time, dispatch_state, contract_size)
    SELECT 1, 1, 1, n, 0, n, 'X', 1, 0, 1, 0, 7, 1, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 1, '', '', 0, '', '', '',
        now(), 3, size
    FROM unnest('{0,100000,92233720368}'::bigint[]) WITH ORDINALITY AS c (size, n)
"""


@pytest.fixture
async def make_old(make_database, tmp_path, monkeypatch):
    """Makes a database of the version before one."""

    async def make(version: str) -> str:
        folder = tmp_path / "old_allocation" / "migrations"
        folder.mkdir(parents=True)
        with as_file(files(SCHEMA) / "migrations") as migrations:
            for path in migrations.glob("0*.py"):
                if path.name < version:
                    shutil.copy(path, folder)
        monkeypatch.syspath_prepend(tmp_path)
        return await make_database("old_allocation")

    return make


async def test_money_gets_the_digits_it_was_counted_in_and_contract_sizes_their_decimals(make_old):
    old_url = await make_old(DIGITS_VERSION)
    engine = create_engine(old_url)
    try:
        async with transaction(engine) as tx:
            for statement in (MASTERS, ANSWERS, DECISIONS):
                await tx.execute(text(statement))
        await engine.dispose()
        await migrate(old_url, SCHEMA)
        async with transaction(engine) as tx:
            rows = await tx.execute(text("SELECT currency_code, currency_digits FROM masters ORDER BY master_id"))
            assert [tuple(row) for row in rows] == [("USD", 2), ("JPY", 0), ("KWD", 3), ("USC", 2)]
            answers = await tx.execute(
                text("SELECT answer::jsonb ->> 'currency_digits' FROM request_ids ORDER BY method")
            )
            assert answers.scalars().all() == ["0", None], "of the master in yen; of a subscription nothing"
            sizes = await tx.execute(text("SELECT contract_size_e8 FROM allocations ORDER BY allocation_id"))
            assert sizes.scalars().all() == [0, 100_000 * 10**8, 92_233_720_368 * 10**8]
    finally:
        await engine.dispose()


async def test_payouts_keep_their_items_and_name_who_pays(make_old):
    old_url = await make_old(PAYMENTS_VERSION)
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
