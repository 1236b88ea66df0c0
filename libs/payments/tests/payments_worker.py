"""A worker process that hands over and settles until it is killed: `payments_worker.py <database URL>`.

The database is platform-groups, too: an item is taken and booked in transactions of their own, as by another service.
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from datetime import UTC, datetime, timedelta

from payments_world import DUES, LABEL, WAITS
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError, UpstreamUnavailable
from apportion.payments import PaymentBatch, PaymentResults, PaymentState, dispatch_payments
from apportion.storage import create_engine, fetch_arrays, transaction

SPEED = 100
TAKE = """
    INSERT INTO taken (item_id, debit_account_id, amount_minor)
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) ON CONFLICT DO NOTHING
"""


class FastClock:
    """A minute and more in each second, so that nobody waits for claims of the dead."""

    def now(self) -> datetime:
        return datetime(2026, 1, 6, tzinfo=UTC) + timedelta(seconds=time.monotonic() * SPEED)

    def monotonic(self) -> float:
        return time.monotonic() * SPEED


class Transfers:
    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def submit(self, batch: PaymentBatch) -> list[int]:
        async with transaction(self._engine) as tx:
            await fetch_arrays(tx, TAKE, batch.item_ids, batch.debit_account_ids, batch.amounts_minor)
        if random.random() < 0.3:
            raise UpstreamUnavailable(service="platform-groups")
        return []


async def settle(engine: AsyncEngine, clock: FastClock) -> None:
    """Books some of what was taken, refuses a third of it, and tells the results, not always for the first time."""
    async with transaction(engine) as tx:
        ends = "CASE WHEN item_id % 3 = 0 AND item_id < 150 THEN 4 ELSE 3 END"
        await tx.execute(text(f"UPDATE taken SET state = {ends} WHERE state = 0 AND random() < 0.5"))
    async with transaction(engine) as tx:
        rows = list(await tx.execute(text("SELECT item_id, state FROM taken WHERE state > 0 ORDER BY item_id")))
        reasons = ["NO_MONEY" if row.state == PaymentState.REFUSED else "" for row in rows]
        states = [PaymentState(row.state) for row in rows]
        items = [row.item_id for row in rows]
        await DUES.settle(tx, LABEL, PaymentResults(items, items, states, reasons), now=clock.now(), retry=WAITS.retry)


async def work(url: str) -> None:
    engine, clock = create_engine(url), FastClock()
    print(os.getpid(), flush=True)
    while True:
        try:
            await dispatch_payments(engine, DUES, Transfers(engine), clock, WAITS)
            await settle(engine, clock)
        except DomainError:
            continue
        await asyncio.sleep(0.01)


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1]))
