from __future__ import annotations

import asyncio

from sqlalchemy import text

from apportion.storage import create_engine, migrate, newest_version, schema_version, transaction


async def test_processes_that_start_together_migrate_once(postgres_url: str) -> None:
    engine = create_engine(postgres_url)
    assert await schema_version(engine) is None
    await asyncio.gather(*(migrate(postgres_url, "storage_sample") for _ in range(3)))
    assert await schema_version(engine) == newest_version("storage_sample") == "0002"
    async with transaction(engine) as tx:
        assert (await tx.execute(text("SELECT count(*) FROM accounts"))).scalar_one() == 0
    await migrate(postgres_url, "storage_sample")
    await engine.dispose()
