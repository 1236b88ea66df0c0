"""The embedded servers of a run, each started when first asked for. PostgreSQL has fsync on."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from apportion.devstack.postgres import EmbeddedPostgres
from apportion.devstack.valkey import EmbeddedValkey
from apportion.storage import migrate


class Servers:
    """`async with Servers() as servers:`; everything is stopped and removed at the end."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="apportion-bench-"))
        self.folder.chmod(0o755)  # as root, PostgreSQL's unprivileged user must pass it
        self._postgres: EmbeddedPostgres | None = None
        self._valkey: EmbeddedValkey | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for server in (self._valkey, self._postgres):
            if server is not None:
                await server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    async def database(self, name: str, package: str) -> str:
        """The URL of a database with the tables of a service."""
        if self._postgres is None:
            self._postgres = EmbeddedPostgres(self.folder / "postgres", fsync=True)
            await self._postgres.start()
        url = await self._postgres.create_database(name, name)
        await migrate(url, package)
        return url

    async def redis_url(self, number: int) -> str:
        """The URL of a logical database."""
        if self._valkey is None:
            self._valkey = EmbeddedValkey(self.folder / "valkey")
            await self._valkey.start()
        return self._valkey.url(number)
