"""The schema from nothing, and again on top of itself."""

from __future__ import annotations

from sqlalchemy import text

from apportion.platform_groups.app import SCHEMA
from apportion.storage import create_engine, migrate, newest_version, schema_version

TABLES = {
    "trading_servers",
    "platform_groups",
    "accounts",
    "access_changes",
    "kill_switches",
    "orders",
    "closings",
    "transfers",
    "transfer_legs",
    "deals",
}


async def test_migrations_run_and_repeat(postgres_url: str) -> None:
    await migrate(postgres_url, SCHEMA)
    await migrate(postgres_url, SCHEMA)
    engine = create_engine(postgres_url)
    assert await schema_version(engine) == newest_version(SCHEMA)
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        assert set(found.scalars()) >= TABLES
    await engine.dispose()
