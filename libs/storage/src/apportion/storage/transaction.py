"""The only place that commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import TypeVar

from asyncpg.transaction import Transaction
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.storage.copy import driver_connection
from apportion.storage.failures import database_failure

T = TypeVar("T")


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
        begun = await _or_give_up(connection, _begin(connection))
        try:
            yield connection
        except BaseException:
            await asyncio.shield(_roll_back(connection, begun))  # also when cancelled, or cancelled again
            raise
        await _or_give_up(connection, begun.commit())
        await connection.close()
    except Exception as error:
        failure = database_failure(error)
        if failure is None:
            raise
        raise failure from error


async def _begin(connection: AsyncConnection) -> Transaction:
    begun = driver_connection(connection).transaction()
    await begun.start()
    return begun


async def _or_give_up(connection: AsyncConnection, step: Awaitable[T]) -> T:
    """After a step that failed or was cancelled on the way nobody knows whether the connection is in a transaction.

    The next one to take it from the pool would begin a savepoint in that transaction, which nobody commits.
    """
    try:
        return await step
    except BaseException as error:
        await asyncio.shield(_discard(connection, error))
        raise


async def _roll_back(connection: AsyncConnection, begun: Transaction) -> None:
    try:
        await begun.rollback()
    except Exception as error:  # a lost connection mostly, which must not go back to the pool
        await _discard(connection, error)
    else:
        await connection.close()


async def _discard(connection: AsyncConnection, error: BaseException) -> None:
    await connection.invalidate(error)
    await connection.close()
