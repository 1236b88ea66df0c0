"""The migration makes what the tables say; the audit log cannot be changed."""

from __future__ import annotations

from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from apportion.auth_gateway.storage.brokers import append_audit
from apportion.auth_gateway.storage.tables import metadata
from apportion.runtime import FixedClock
from apportion.storage import migrate, schema_version, transaction

PACKAGE = "apportion.auth_gateway.storage"


async def test_tables_and_migrations_agree(engine_for: Any) -> None:
    engine = await engine_for(PACKAGE)
    async with engine.connect() as connection:
        changes = await connection.run_sync(lambda sync: compare_metadata(MigrationContext.configure(sync), metadata))
    assert changes == []


async def test_migrating_twice_is_harmless(make_database: Any, engine_for: Any) -> None:
    url = await make_database(PACKAGE)
    await migrate(url, PACKAGE)
    assert await schema_version(await engine_for(PACKAGE)) == "0001"


@pytest.mark.parametrize("statement", ["UPDATE audit SET actor = 'x'", "DELETE FROM audit", "TRUNCATE audit"])
async def test_the_audit_log_is_append_only(engine_for: Any, clock: FixedClock, statement: str) -> None:
    engine = await engine_for(PACKAGE)
    async with transaction(engine) as tx:
        await append_audit(tx, label=1, actor="a", action="b", now=clock.now(), detail="c")
    with pytest.raises(DBAPIError, match="append-only"):
        async with transaction(engine) as tx:
            await tx.execute(text(statement))
