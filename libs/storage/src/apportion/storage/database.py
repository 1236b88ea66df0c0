"""How a service opens its database, once and only one it can trust, and keeps it in order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.runtime import Clock, Loops, ServiceSettings
from apportion.storage.clock_watch import ClockWatch
from apportion.storage.engine import POOL_SIZE, check_durability, create_engine
from apportion.storage.purge import Expiry, Purge
from apportion.storage.schema import check_version


@asynccontextmanager
async def open_database(
    settings: ServiceSettings, package: str, *, pool_size: int = POOL_SIZE
) -> AsyncIterator[AsyncEngine]:
    """The engine of the service whose migrations are `<package>.migrations`, disposed of at the end.

    Raises DatabaseNotDurable for a server that may forget a commit, except in development and tests, SchemaMismatch for
    a database older than this release, DatabaseUnavailable.
    """
    engine = create_engine(settings.database_url, pool_size=pool_size)
    try:
        await check_durability(engine, development=settings.development or settings.insecure)
        await check_version(engine, package)
        yield engine
    finally:
        await engine.dispose()


def housekeeping(
    engine: AsyncEngine, settings: ServiceSettings, clock: Clock, expiries: Sequence[Expiry] = ()
) -> Loops:
    """Loops that every worker runs beside its own; `expiries` are what this service alone deletes."""
    return {
        "clock_watch": ClockWatch(engine, clock, alarm_seconds=settings.clock_skew_alarm_seconds).run,
        "purge": Purge(engine, settings, expiries).run,
    }
