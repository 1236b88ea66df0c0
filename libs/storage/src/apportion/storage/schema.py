"""How new the schema of a database is, and how new it has to be."""

from __future__ import annotations

import re
from importlib.resources import files

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

MIGRATION = re.compile(r"(\d{4})_\w+\.py")
"""Revisions are numbers of one width, so their texts have their order, and a migration's file begins with its own."""


class SchemaMismatch(Exception):
    """The live schema is not the one that this release needs; the message says where."""


async def migrate(url: str, package: str) -> None:
    """Brings the database to the newest migration in `<package>.migrations`, each in a transaction of its own.

    Processes that start together take turns; those that come later find nothing to do.
    """
    from apportion.storage.migrations import upgrade  # Alembic: 10 MiB that a running service has no use for

    await upgrade(url, package)


async def check_version(engine: AsyncEngine, package: str) -> None:
    """Raises SchemaMismatch for a database without the newest migration of `<package>.migrations`.

    A newer database is fine: migrations only expand, and the release before has to live with them during a roll-out.
    """
    found, needed = await schema_version(engine), newest_version(package)
    if found is None or found < needed:
        raise SchemaMismatch(f"the schema is at {found or 'nothing'}, this release needs {needed}: run migrate")


async def schema_version(engine: AsyncEngine) -> str | None:
    """The newest migration that was run here, None for an empty database."""
    async with engine.connect() as connection:
        if (await connection.execute(text("SELECT to_regclass('alembic_version')"))).scalar_one() is None:
            return None
        version: str | None = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
        return version


def newest_version(package: str) -> str:
    """The newest migration that `<package>.migrations` has."""
    found = [MIGRATION.fullmatch(entry.name) for entry in (files(package) / "migrations").iterdir()]
    versions = [match[1] for match in found if match]
    if not versions:
        raise LookupError(f"{package} has no migrations")
    return max(versions)
