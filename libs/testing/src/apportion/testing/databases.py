"""A fresh database in milliseconds: a copy of a template that was migrated once."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from urllib.parse import urlsplit

import asyncpg

from apportion.storage import migrate

EMPTY_TEMPLATE = "template1"
ADVISORY_LOCK = 0x7465_6D70_6C61_7465  # "template"


class Databases:
    """Makes databases on the server of `server_url` and drops them."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._made: list[str] = []

    async def make(self, package: str | None = None) -> str:
        """The URL of a new database: with the schema of `<package>.migrations`, or empty."""
        async with self._connection() as connection:
            template = EMPTY_TEMPLATE if package is None else await self._template(connection, package)
            name = f"test_{uuid.uuid4().hex}"
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
        self._made.append(name)
        return self._url(name)

    async def drop_all(self) -> None:
        if not self._made:
            return
        async with self._connection() as connection:
            while self._made:
                await connection.execute(f"DROP DATABASE IF EXISTS {self._made.pop()} WITH (FORCE)")

    async def _template(self, connection: asyncpg.Connection, package: str) -> str:
        """Named after the content of the migrations, so that a changed one never meets an old template."""
        name = f"template_{_fingerprint(package)}"
        if await _exists(connection, name):
            return name
        await connection.execute("SELECT pg_advisory_lock($1)", ADVISORY_LOCK)
        try:
            if not await _exists(connection, name):
                unfinished = f"unfinished_{name}"
                await connection.execute(f"DROP DATABASE IF EXISTS {unfinished} WITH (FORCE)")
                await connection.execute(f"CREATE DATABASE {unfinished} TEMPLATE {EMPTY_TEMPLATE} STRATEGY wal_log")
                await migrate(self._url(unfinished), package)
                await connection.execute(f"ALTER DATABASE {unfinished} RENAME TO {name}")
        finally:
            await connection.execute("SELECT pg_advisory_unlock($1)", ADVISORY_LOCK)
        return name

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self._server_url)
        try:
            yield connection
        finally:
            await connection.close()

    def _url(self, database: str) -> str:
        return urlsplit(self._server_url)._replace(path=f"/{database}").geturl()


async def _exists(connection: asyncpg.Connection, name: str) -> bool:
    found: bool = await connection.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name)
    return found


def _fingerprint(package: str) -> str:
    digest = hashlib.sha256(package.encode())
    sources = [source for source in (files(package) / "migrations").iterdir() if source.name.endswith(".py")]
    for source in sorted(sources, key=lambda source: source.name):
        digest.update(source.name.encode() + source.read_bytes())
    digest.update((files("apportion.storage") / "infrastructure.py").read_bytes())
    return digest.hexdigest()[:24]
