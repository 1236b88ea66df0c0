"""Worker processes killed at any moment: each payment is booked exactly once."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

from payments_world import DUES, World

from apportion.payments import PaymentState
from apportion.runtime.clock import FixedClock
from apportion.storage import create_engine, transaction
from apportion.testing.polling import eventually

WORKER = Path(__file__).parent / "payments_worker.py"
KILLS, PAYMENTS = 5, 120
TAKEN = """
    CREATE TABLE taken (item_id bigint PRIMARY KEY, debit_account_id bigint, amount_minor bigint, state int DEFAULT 0)
"""
ONCE = """
    SELECT d.due_id FROM dues d JOIN taken t ON t.debit_account_id = d.debit_account_id AND t.state = 3
    GROUP BY d.due_id HAVING count(*) <> 1 OR min(t.amount_minor) <> min(d.amount_minor)
"""


async def start(url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(sys.executable, WORKER, url, stdout=asyncio.subprocess.PIPE)


async def test_each_payment_is_booked_once_however_workers_die(make_database, clock: FixedClock):
    url = await make_database("payments_sample")
    engine = create_engine(url)
    world, chance = World(engine, clock), random.Random(7)
    async with transaction(engine) as tx:
        await tx.exec_driver_sql(TAKEN)
    await world.owe(*((1_000 + number, 5 + number) for number in range(PAYMENTS)))
    workers = [await start(url), await start(url)]
    try:
        for turn in range(KILLS):
            worker = workers[turn % 2]
            await worker.stdout.readline()
            await asyncio.sleep(chance.random() * 0.2)
            worker.kill()
            await worker.wait()
            workers[turn % 2] = await start(url)

        async def is_paid() -> bool:
            return await world.states() == [(PaymentState.PAID, "")] * PAYMENTS

        await eventually(is_paid)
    finally:
        for worker in workers:
            worker.kill()
            await worker.wait()
    assert await world.rows(ONCE) == []
    assert await world.rows("SELECT sum(amount_minor), count(*) FROM taken WHERE state = 3") == [
        (sum(range(5, 5 + PAYMENTS)), PAYMENTS)
    ]
    async with transaction(engine) as tx:
        assert await DUES.sum_unpaid(tx) == []
    await engine.dispose()
