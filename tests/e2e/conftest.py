"""Real processes on the loopback: one stack with a small world for all tests of a session's worker."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from apportion.devstack.scene import Scene, open_scene

INVESTOR_COUNT = 9


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    """Five services, a paused simulator, three masters with three investors each, prices set."""
    async with open_scene(tmp_path, investor_count=INVESTOR_COUNT) as opened:
        yield opened
