from __future__ import annotations

from apportion.allocation.storage import history_tables, netting_tables, profit_tables, reconciling_tables
from apportion.allocation.storage.tables import metadata
from apportion.testing.schema import check_schema

DECLARED = (history_tables, netting_tables, profit_tables, reconciling_tables)


async def test_the_migrations_make_the_declared_tables(engine_for):
    assert all(module.metadata is metadata for module in DECLARED)
    await check_schema(await engine_for("apportion.allocation.storage"), metadata)
