"""The only place that commits."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.storage.failures import database_failure


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """One READ COMMITTED transaction: commits when the block ends, rolls back when it raises.

    Call no other service inside the block: it holds locks, and a lost connection is taken for the database's.

    Raises DatabaseUnavailable when the server cannot be reached, is lost on the way or takes too long; lost during the
    commit, the outcome is unknown and a repeat with the same request id finds it. Raises VersionConflict after a
    deadlock, a serialization failure or a lock not granted in time, Overloaded when no connection comes free.
    """
    try:
        async with engine.begin() as connection:
            yield connection
    except Exception as error:
        failure = database_failure(error)
        if failure is None:
            raise
        raise failure from error
