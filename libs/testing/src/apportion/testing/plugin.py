"""The pytest plugin: real servers, databases from templates, a fixed clock.

Under xdist the controller starts PostgreSQL before its workers and hands them the URL in the environment; all else
starts when a test first needs it. Each worker has a Valkey of its own, because channels are not kept apart by logical
databases. Whoever started a server stops it at the end of the session.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.runtime.clock import FixedClock
from apportion.storage import create_engine
from apportion.testing.databases import Databases
from apportion.testing.session_servers import SessionServers

SERVICE_NAMES = ("allocation", "fees", "risk", "platform-groups", "auth-gateway", "operator")

servers_key = pytest.StashKey[SessionServers]()

MakeDatabase = Callable[[str], Awaitable[str]]
EngineFor = Callable[[str], Awaitable[AsyncEngine]]


def pytest_configure(config: pytest.Config) -> None:
    config.stash[servers_key] = SessionServers()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Before xdist's own hook starts the workers."""
    if getattr(session.config.option, "tx", None) and not hasattr(session.config, "workerinput"):
        session.config.stash[servers_key].database_url()


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[servers_key].stop()


@pytest.fixture
def clock() -> FixedClock:
    """Monday 5 January 2026, 10:00 UTC, until the test moves it."""
    return FixedClock(datetime(2026, 1, 5, 10, 0, tzinfo=UTC))


@pytest.fixture
async def databases(pytestconfig: pytest.Config) -> AsyncIterator[Databases]:
    """Makes databases for this test and drops them after it."""
    made = Databases(pytestconfig.stash[servers_key].database_url())
    yield made
    await made.drop_all()


@pytest.fixture
async def postgres_url(databases: Databases) -> str:
    """A fresh, empty database."""
    return await databases.make()


@pytest.fixture
def make_database(databases: Databases) -> MakeDatabase:
    """`await make_database("apportion.fees.storage")`: the URL of a fresh database with that package's schema."""
    return databases.make


@pytest.fixture
async def engine_for(databases: Databases) -> AsyncIterator[EngineFor]:
    """`await engine_for("apportion.fees.storage")`: an engine on a fresh database with that package's schema."""
    engines: list[AsyncEngine] = []

    async def engine_for(package: str) -> AsyncEngine:
        engines.append(create_engine(await databases.make(package)))
        return engines[-1]

    yield engine_for
    for engine in engines:
        await engine.dispose()


@pytest.fixture
async def redis_url(pytestconfig: pytest.Config) -> str:
    """An empty logical database of this worker's own, also on a server that was given to all of them."""
    import redis.asyncio

    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    url = urlsplit(pytestconfig.stash[servers_key].redis_url())._replace(path=f"/{worker}").geturl()
    async with redis.asyncio.Redis.from_url(url) as client:
        await client.flushdb()
    return url


@pytest.fixture
def tls_dir(tmp_path: Path) -> Path:
    """An authority (`ca.pem`) and an identity for each service and the operator: `fees.pem`, `fees-key.pem`, …"""
    from apportion.devstack.certificates import issue

    folder = tmp_path / "tls"
    for name in SERVICE_NAMES:
        issue(folder, name)
    return folder
