"""Work that is cancelled at any point leaves no transaction open, into which later ones would fall."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from sqlalchemy import text

from apportion.storage import create_engine, transaction
from apportion.storage.copy import fetch_arrays

STEPS = 60


@pytest.mark.parametrize("cancel_count", [1, 2])
async def test_a_commit_after_a_cancelled_transaction_is_a_commit(postgres_url: str, cancel_count: int) -> None:
    """The second cancellation meets the rollback that the first one led to."""
    engine, witness = create_engine(postgres_url, pool_size=1), create_engine(postgres_url, pool_size=1)

    async def insert(number: int) -> None:
        async with transaction(engine) as tx:
            await fetch_arrays(tx, "INSERT INTO numbers VALUES ($1)", number)

    async with transaction(engine) as tx:
        await tx.execute(text("CREATE TABLE numbers (number bigint NOT NULL)"))
    for steps in range(STEPS):
        work = asyncio.create_task(insert(-1))
        for _ in range(steps):
            await asyncio.sleep(0)
        if steps % 2:
            await asyncio.sleep(0.0002 * steps)
        for _ in range(cancel_count):
            work.cancel()
            await asyncio.sleep(0)
        with contextlib.suppress(asyncio.CancelledError):
            await work
        await insert(steps)
        async with transaction(witness) as tx:
            query = text("SELECT count(*) FROM numbers WHERE number = :number")
            assert (await tx.execute(query, {"number": steps})).scalar_one() == 1, f"cancelled after {steps} steps"
    await engine.dispose()
    await witness.dispose()
