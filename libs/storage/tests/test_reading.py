"""Reads without a transaction around them."""

from __future__ import annotations

import asyncio
import contextlib

import asyncpg
import pytest

from apportion.errors import DatabaseUnavailable
from apportion.storage import create_engine, fetch_arrays, read_arrays, transaction

BACKEND = "SELECT pg_backend_pid() AS backend"


async def test_a_read_leaves_no_transaction_behind(postgres_url: str) -> None:
    engine = create_engine(postgres_url, pool_size=1)
    [row] = await read_arrays(engine, "SELECT $1::int + 1 AS sum, pg_current_xact_id_if_assigned() AS xid", 1)
    assert (row["sum"], row["xid"]) == (2, None)
    async with transaction(engine) as tx:
        await fetch_arrays(tx, "CREATE TABLE numbers (number bigint)")
    assert await read_arrays(engine, "SELECT FROM numbers") == []
    await engine.dispose()


async def test_a_connection_that_was_cut_fails_one_read(postgres_url: str) -> None:
    engine, other = create_engine(postgres_url, pool_size=1), await asyncpg.connect(postgres_url)
    try:
        [row] = await read_arrays(engine, BACKEND)
        await other.execute("SELECT pg_terminate_backend($1, 5000)", row["backend"])
        with pytest.raises(DatabaseUnavailable):
            await read_arrays(engine, BACKEND)
        assert await read_arrays(engine, BACKEND)
    finally:
        await other.close()
        await engine.dispose()


async def test_a_cancelled_read_gives_up_its_connection(postgres_url: str) -> None:
    engine = create_engine(postgres_url, pool_size=1)
    [before] = await read_arrays(engine, BACKEND)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await read_arrays(engine, "SELECT pg_sleep(5)")
    [after] = await read_arrays(engine, BACKEND)
    assert after["backend"] != before["backend"]
    await engine.dispose()


async def test_a_statement_that_is_wrong_says_so(postgres_url: str) -> None:
    engine = create_engine(postgres_url, pool_size=1)
    with pytest.raises(asyncpg.UndefinedTableError):
        await read_arrays(engine, "SELECT FROM nowhere")
    await engine.dispose()
