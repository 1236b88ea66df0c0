"""The connection pool of a service."""

from __future__ import annotations

from typing import Any

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from apportion.errors import DatabaseUnavailable
from apportion.storage.transaction import transaction

POOL_SIZE = 8
POOL_WAIT_SECONDS = 5.0
CONNECT_SECONDS = 5.0
LOCK_TIMEOUT_MS = 2_000
IDLE_IN_TRANSACTION_TIMEOUT_MS = 10_000
RECYCLE_SECONDS = 1_800
STATEMENT_CACHE_SIZE = 500
# A server that hangs without a word is noticed this long after its own timeout should have spoken.
ANSWER_MARGIN_SECONDS = 2.0
UNSAFE_VALUE = "off"


class DatabaseNotDurable(Exception):
    """The server may forget a commit: money must not be written to it."""


def create_engine(url: str, *, pool_size: int = POOL_SIZE, statement_timeout_ms: int = 5_000) -> AsyncEngine:
    """A pool of at most `pool_size` connections, opened when first needed, waiters served in their order.

    `url` is what libpq takes: several hosts, `sslmode` and `target_session_attrs` work. Limits are set once for each
    connection, not for each statement; a lock is waited for 2 s, a transaction may idle for 10 s. Outside `transaction`
    each statement commits by itself.
    """
    settings = {
        "statement_timeout": str(statement_timeout_ms),
        "lock_timeout": str(LOCK_TIMEOUT_MS),
        "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_TIMEOUT_MS),
    }
    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=_creator(url, settings, statement_timeout_ms / 1_000 + ANSWER_MARGIN_SECONDS),
        connect_args={"prepared_statement_cache_size": STATEMENT_CACHE_SIZE},
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_WAIT_SECONDS,
        pool_recycle=RECYCLE_SECONDS,
        hide_parameters=True,  # errors are logged; what statements carry is personal or secret
        # `transaction` begins and ends by the driver's own calls, which cost a third of SQLAlchemy's.
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
    )


def create_migration_engine(url: str) -> AsyncEngine:
    """Connections for schema changes: statements may take their time, but wait for a lock no longer than services."""
    creator = _creator(url, {"statement_timeout": "0", "lock_timeout": str(LOCK_TIMEOUT_MS)}, None)
    return create_async_engine("postgresql+asyncpg://", async_creator=creator, poolclass=NullPool)


async def check_durability(engine: AsyncEngine, *, development: bool = False) -> None:
    """Raises DatabaseNotDurable when a crash of the server can lose a commit, unless this is a development run."""
    async with engine.connect() as connection:
        values = await connection.execute(
            text(
                "SELECT name, setting FROM pg_settings"
                " WHERE name IN ('fsync', 'synchronous_commit', 'full_page_writes') ORDER BY name"
            )
        )
        unsafe = [name for name, setting in values if setting == UNSAFE_VALUE]
    if unsafe and not development:
        raise DatabaseNotDurable(f"switch on {', '.join(unsafe)} in PostgreSQL, or run with development=true")


async def ping(engine: AsyncEngine) -> bool:
    """Whether the database answers: True, or what `transaction` raises. For `ready` of a server."""
    async with transaction(engine) as tx:
        await tx.execute(text("SELECT 1"))
    return True


def _creator(url: str, settings: dict[str, str], answer_seconds: float | None) -> Any:
    dsn = url.replace("postgresql+asyncpg://", "postgresql://", 1)
    server_settings = settings | {"timezone": "UTC", "jit": "off", "application_name": "apportion"}

    async def connect() -> Any:
        try:
            return await asyncpg.connect(
                dsn, timeout=CONNECT_SECONDS, command_timeout=answer_seconds, server_settings=server_settings
            )
        except OSError as error:  # refused, unknown host, no answer in time
            raise DatabaseUnavailable() from error

    return connect
