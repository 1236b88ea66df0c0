"""The only place that commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

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
        connection = await engine.connect()
        try:
            await _begin(connection)
            yield connection
            await _commit(connection)
        except BaseException as error:
            await connection.__aexit__(type(error), error, error.__traceback__)  # rolls back, cancelled or not
            raise
        # `async with` would make a task of this, too: after a commit nothing is sent any more.
        await connection.close()
    except Exception as error:
        failure = database_failure(error)
        if failure is None:
            raise
        raise failure from error


async def _begin(connection: AsyncConnection) -> None:
    """SQLAlchemy would send BEGIN with its first statement, which costs three times what the driver takes for one.

    So a transaction may be made of driver statements alone (`fetch_arrays`). There is no public call for it. What
    SQLAlchemy does of its own to begin is no I/O, so it needs no greenlet, which its asynchronous call would make.
    """
    inner: Any = connection.sync_connection
    inner.begin()
    try:
        await inner.connection.dbapi_connection._start_transaction()
    except Exception as error:  # a lost connection mostly, which must not go back to the pool
        await connection.invalidate(error)
        raise error.__cause__ or error from None
    except asyncio.CancelledError as error:
        # Cancelled on the way, it may have begun all the same: the driver would make each later transaction a savepoint
        # in this one, which nobody commits.
        await connection.invalidate(error)
        raise


async def _commit(connection: AsyncConnection) -> None:
    """As `_begin`: the driver commits, and then SQLAlchemy, for which nothing is left to send.

    After a commit that fails or is cancelled on the way nobody knows whether the connection's transaction has ended.
    """
    inner: Any = connection.sync_connection
    driver: Any = inner.connection.dbapi_connection
    try:
        await driver._call_and_discard(driver._transaction.commit)
    except (Exception, asyncio.CancelledError) as error:
        await connection.invalidate(error)
        raise
    inner.commit()
