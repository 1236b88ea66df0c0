"""Schema migrations out of the packages themselves, without an ini file."""

from __future__ import annotations

import asyncio
from importlib.resources import as_file, files
from pathlib import Path

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.storage.engine import create_migration_engine

ADVISORY_LOCK = 0x6D69_6772_6174_65  # "migrate"; one number serves all, since a lock belongs to one database
LOCK_POLL_SECONDS = 0.1
LOCK_WAIT_SECONDS = 120.0


class MigrationLocked(Exception):
    """Another process has been migrating this database for longer than we wait."""


async def upgrade(url: str, package: str) -> None:
    """`migrate`. Raises MigrationLocked."""
    engine = create_migration_engine(url)
    try:
        with as_file(files(package) / "migrations") as folder:
            async with engine.connect() as connection:
                await _lock(connection)
                await connection.run_sync(_upgrade, folder)
    finally:
        await engine.dispose()


def _scripts(folder: Path) -> ScriptDirectory:
    return ScriptDirectory(folder, version_locations=[folder])


async def _lock(connection: AsyncConnection) -> None:
    """Polls, for a session that waited inside the lock would hold a snapshot and stop CREATE INDEX CONCURRENTLY."""
    for _ in range(int(LOCK_WAIT_SECONDS / LOCK_POLL_SECONDS)):
        locked = (await connection.execute(text(f"SELECT pg_try_advisory_lock({ADVISORY_LOCK})"))).scalar_one()
        await connection.commit()
        if locked:
            return
        await asyncio.sleep(LOCK_POLL_SECONDS)
    raise MigrationLocked(f"waited for {LOCK_WAIT_SECONDS} s")


def _upgrade(connection: Connection, folder: Path) -> None:
    scripts = _scripts(folder)
    context = MigrationContext.configure(connection, opts={"transaction_per_migration": True})
    newest_first = list(scripts.iterate_revisions("heads", context.get_current_revision() or "base"))
    connection.commit()
    with Operations.context(context):
        for script in reversed(newest_first):
            with context.begin_transaction(_per_migration=True):
                script.module.upgrade()
                context.stamp(scripts, script.revision)
