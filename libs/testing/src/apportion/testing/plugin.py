"""The pytest plugin: real servers, databases from templates, a fixed clock."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apportion.runtime.clock import FixedClock


@pytest.fixture
def clock() -> FixedClock:
    """Monday 5 January 2026, 10:00 UTC, until the test moves it."""
    return FixedClock(datetime(2026, 1, 5, 10, 0, tzinfo=UTC))
