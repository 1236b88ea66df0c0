"""The schema from nothing, and again on top of itself."""

from __future__ import annotations

from apportion.platform_groups.storage.tables import metadata
from apportion.storage import create_engine, migrate, newest_version, schema_version
from apportion.testing.schema import check_schema

SCHEMA = "apportion.platform_groups.storage"


async def test_migrations_run_and_repeat(postgres_url: str) -> None:
    await migrate(postgres_url, SCHEMA)
    await migrate(postgres_url, SCHEMA)
    engine = create_engine(postgres_url)
    assert await schema_version(engine) == newest_version(SCHEMA)
    await engine.dispose()


async def test_the_schema_is_the_declared_one(engine_for) -> None:
    await check_schema(await engine_for(SCHEMA), metadata)
