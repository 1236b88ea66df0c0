"""One read on a hot path, in a single round trip."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.storage.failures import database_failure


async def read_arrays(engine: AsyncEngine, statement: str, *arguments: object) -> list[Any]:
    """As `fetch_arrays`, for one statement that neither writes nor locks: without BEGIN and COMMIT around it.

    A row that is locked, even FOR SHARE, costs a transaction id and, with the commit, a write to disk. Raises
    DatabaseUnavailable or Overloaded.
    """
    try:
        pooled = await engine.raw_connection()
        driver: Any = pooled.driver_connection
        try:
            rows = cast("list[Any]", await driver.fetch(statement, *arguments))
        except (Exception, asyncio.CancelledError) as error:  # it may be lost, or still busy
            pooled.invalidate(error)
            raise
        pooled.close()
        return rows
    except Exception as error:
        failure = database_failure(error)
        if failure is None:
            raise
        raise failure from error
