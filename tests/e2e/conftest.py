"""Real processes on the loopback: one stack with a small world for the tests of a module."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from apportion.devstack.scene import Scene, open_scene

INVESTOR_COUNT = 9


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A temporary folder that PostgreSQL, which does not run as root, may pass; pytest's own are closed."""
    made = Path(tempfile.mkdtemp(prefix="apportion-e2e-"))
    made.chmod(0o711)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Five services, a paused simulator, three masters with three investors each."""
    async with open_scene(folder, investor_count=INVESTOR_COUNT) as opened:
        yield opened
