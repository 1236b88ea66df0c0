from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

sys.path.insert(0, str(Path(__file__).parent))  # for fees_world, the events and stubs of these tests


@pytest.fixture
async def engine(engine_for) -> AsyncEngine:
    return await engine_for("apportion.fees.storage")
