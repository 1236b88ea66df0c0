from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.storage import create_engine
from apportion.testing.plugin import MakeDatabase

SAMPLE = "storage_sample"


@pytest.fixture(autouse=True)
def sample_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes `storage_sample`, the migrations of a made-up service, importable."""
    monkeypatch.syspath_prepend(Path(__file__).parent)


@pytest.fixture
async def url(make_database: MakeDatabase) -> str:
    return await make_database(SAMPLE)


@pytest.fixture
async def engine(url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(url)
    yield engine
    await engine.dispose()
