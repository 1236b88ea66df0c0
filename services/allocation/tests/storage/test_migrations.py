from __future__ import annotations

from apportion.allocation.storage.tables import metadata
from apportion.testing.schema import check_schema


async def test_the_migrations_make_the_declared_tables(engine_for):
    await check_schema(await engine_for("apportion.allocation.storage"), metadata)
