"""PostgreSQL and Valkey for one pytest session or one of its workers."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

DATABASE_VARIABLE = "APPORTION_TEST_DATABASE_URL"
REDIS_VARIABLE = "APPORTION_TEST_REDIS_URL"


class SessionServers:
    """Starts each server when its URL is first asked for. A URL in the environment wins, and nothing is started."""

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._stops: list[Any] = []

    def database_url(self) -> str:
        """A superuser's URL, from which databases are made."""
        if DATABASE_VARIABLE not in os.environ:
            from apportion.devstack.postgres import EmbeddedPostgres

            self._start(EmbeddedPostgres(self._subfolder("postgres")), DATABASE_VARIABLE)
        return os.environ[DATABASE_VARIABLE]

    def redis_url(self) -> str:
        """The URL of logical database 0."""
        if REDIS_VARIABLE not in os.environ:
            from apportion.devstack.valkey import EmbeddedValkey

            self._start(EmbeddedValkey(self._subfolder("valkey")), REDIS_VARIABLE)
        return os.environ[REDIS_VARIABLE]

    def stop(self) -> None:
        while self._stops:
            server, variable = self._stops.pop()
            run_apart(server.stop())
            del os.environ[variable]
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _start(self, server: Any, variable: str) -> None:
        os.environ[variable] = run_apart(server.start())
        self._stops.append((server, variable))

    def _subfolder(self, name: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="apportion-tests-"))
            self._folder.chmod(0o755)  # as root, the servers' unprivileged user must pass it
        return self._folder / name


def run_apart(work: Coroutine[Any, Any, str | None]) -> str:
    """Runs `work` in a loop of its own, out of the way of the one that pytest-asyncio keeps in this thread."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result() or ""
