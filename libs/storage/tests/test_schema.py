from __future__ import annotations

import subprocess
import sys

import pytest
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    text,
)
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.storage import SchemaMismatch, check_version, infrastructure_tables, transaction
from apportion.testing.schema import check_schema


@pytest.fixture
def declared() -> MetaData:
    metadata = MetaData()
    infrastructure_tables(metadata)
    Table(
        "accounts",
        metadata,
        Column("account_id", BigInteger, nullable=False),
        Column("balance_minor", BigInteger, nullable=False),
        Column("group_number", Integer),
        Column("name", Text),
        Column("opened_time", DateTime(timezone=True)),
        Column("enabled", Boolean),
        Column("source", Uuid),
        Column("hash", LargeBinary),
        PrimaryKeyConstraint("account_id", name="accounts_pkey"),
        CheckConstraint("balance_minor >= 0", name="accounts_balance_check"),
    )
    return metadata


async def test_the_migrations_make_what_is_declared(engine: AsyncEngine, declared: MetaData) -> None:
    await check_schema(engine, declared)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("DROP INDEX outbox_unpublished_idx", "add_index .*outbox_unpublished_idx"),
        ("ALTER TABLE accounts ALTER balance_minor TYPE int", "modify_type accounts balance_minor"),
        ("ALTER TABLE accounts ALTER balance_minor DROP NOT NULL", "modify_nullable accounts balance_minor"),
        ("ALTER TABLE accounts DROP COLUMN name", "add_column accounts accounts.name"),
        ("ALTER TABLE accounts ADD COLUMN more int", "remove_column accounts accounts.more"),
        ("ALTER TABLE accounts DROP CONSTRAINT accounts_balance_check", "missing check accounts.accounts_balance"),
        ("ALTER TABLE accounts ADD CONSTRAINT odd CHECK (account_id > 1)", "undeclared check accounts.odd"),
        ("ALTER TABLE outbox DROP CONSTRAINT outbox_sequence_key", "add_constraint"),
        ("DROP TABLE workers", "add_table workers"),
        ("CREATE TABLE foreign_table (a int)", "remove_table foreign_table"),
    ],
)
async def test_each_difference_is_named(engine: AsyncEngine, declared: MetaData, change: str, difference: str) -> None:
    async with transaction(engine) as tx:
        await tx.execute(text(change))
    with pytest.raises(SchemaMismatch, match=difference):
        await check_schema(engine, declared)


@pytest.mark.parametrize("statement", ["UPDATE alembic_version SET version_num = '0001'", "DROP TABLE alembic_version"])
async def test_an_older_schema_is_refused(engine: AsyncEngine, statement: str) -> None:
    await check_version(engine, "storage_sample")
    async with transaction(engine) as tx:
        await tx.execute(text(statement))
    with pytest.raises(SchemaMismatch, match="needs 0002: run migrate"):
        await check_version(engine, "storage_sample")


async def test_a_newer_schema_serves_the_release_before(engine: AsyncEngine) -> None:
    async with transaction(engine) as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = '0003'"))
    await check_version(engine, "storage_sample")


def test_a_running_service_does_not_load_alembic():
    """It is 10 MiB, which only those who migrate have a use for."""
    program = "import sys, apportion.storage; sys.exit('alembic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
