from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.runtime import ServiceSettings, SystemClock
from apportion.storage import DatabaseNotDurable, SchemaMismatch, housekeeping, open_database, transaction

SAMPLE = "storage_sample"


async def set_version(engine: AsyncEngine, version: str) -> None:
    async with transaction(engine) as tx:
        await tx.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})


@pytest.fixture
def settings(url: str) -> ServiceSettings:
    return ServiceSettings(database_url=url, insecure=True)


async def test_an_older_database_is_refused_and_a_newer_one_is_opened(
    engine: AsyncEngine, settings: ServiceSettings
) -> None:
    await set_version(engine, "0001")
    with pytest.raises(SchemaMismatch, match="needs 0002: run migrate"):
        async with open_database(settings, SAMPLE):
            pass
    await set_version(engine, "0003")
    async with open_database(settings, SAMPLE) as opened, transaction(opened) as tx:
        assert (await tx.execute(text("SELECT 1"))).scalar_one() == 1


async def test_a_database_that_may_forget_is_for_development_only(settings: ServiceSettings) -> None:
    serious = settings.model_copy(update={"insecure": False})
    with pytest.raises(DatabaseNotDurable, match="fsync"):
        async with open_database(serious, SAMPLE):
            pass


async def test_the_loops_of_every_worker(engine: AsyncEngine, settings: ServiceSettings) -> None:
    assert set(housekeeping(engine, settings, SystemClock())) == {"clock_watch", "purge"}
