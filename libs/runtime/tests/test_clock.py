from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from apportion.runtime import FixedClock, SystemClock

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def test_the_system_clock_is_aware_and_utc() -> None:
    clock = SystemClock()
    assert clock.now().utcoffset() == timedelta(0)
    assert clock.monotonic() <= clock.monotonic()


def test_a_fixed_clock_moves_only_when_told() -> None:
    clock = FixedClock(NOON.astimezone(timezone(timedelta(hours=3))))
    start = clock.monotonic()
    assert clock.now() == NOON
    assert clock.now().tzinfo is UTC
    clock.advance(1.5)
    assert clock.now() == NOON + timedelta(seconds=1.5)
    assert clock.monotonic() == start + 1.5


def test_a_wall_clock_may_jump_back_but_a_monotonic_one_never() -> None:
    clock = FixedClock(NOON)
    start = clock.monotonic()
    clock.set(NOON - timedelta(hours=1))
    assert clock.now() == NOON - timedelta(hours=1)
    assert clock.monotonic() == start
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)


@pytest.mark.parametrize("act", [FixedClock, FixedClock(NOON).set])
def test_a_civil_time_is_refused(act: object) -> None:
    assert callable(act)
    with pytest.raises(ValueError, match="aware"):
        act(NOON.replace(tzinfo=None))
