"""The services as processes, without trading server or data: what every call must hold to whatever it asks."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from apportion.devstack.stack import Stack


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="apportion-contract-"))
    os.chmod(folder, 0o711)  # noqa: PTH101 - PostgreSQL, which does not run as root, must pass
    try:
        async with Stack(folder) as running:
            yield running
    finally:
        shutil.rmtree(folder, ignore_errors=True)
