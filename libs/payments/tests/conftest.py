from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for payments_world and payments_sample, the made-up service

from payments_world import World


@pytest.fixture
async def world(engine_for, clock) -> World:
    return World(await engine_for("payments_sample"), clock)
