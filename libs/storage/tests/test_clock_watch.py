from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from apportion.runtime import SystemClock
from apportion.storage import ClockWatch
from apportion.storage.clock_watch import SKEW


@pytest.mark.parametrize("ahead_seconds", [-90.0, -3.0, 3.0, 90.0])
async def test_a_wrong_clock_is_an_alarm(engine: AsyncEngine, ahead_seconds: float) -> None:
    class WrongClock(SystemClock):
        def now(self) -> datetime:
            return super().now() + timedelta(seconds=ahead_seconds)

    with capture_logs() as logs:
        skew_seconds = await ClockWatch(engine, WrongClock(), alarm_seconds=1.0).look()
    assert skew_seconds == pytest.approx(ahead_seconds, abs=1.0)
    assert SKEW._value.get() == skew_seconds
    (alarm,) = logs
    assert (alarm["log_level"], alarm["event"], alarm["limit_seconds"]) == ("error", "clock_skewed", 1.0)
    assert alarm["skew_seconds"] == pytest.approx(ahead_seconds, abs=1.0)


async def test_a_right_clock_is_none(engine: AsyncEngine) -> None:
    with capture_logs() as logs:
        skew_seconds = await ClockWatch(engine, SystemClock(), alarm_seconds=1.0).look()
    assert abs(skew_seconds) < 0.5
    assert logs == []


async def test_a_slow_answer_is_no_skew(engine: AsyncEngine) -> None:
    """What the round trip may hide is not held against the clock."""

    class SlowTrip:
        def __init__(self) -> None:
            self._times = [datetime.now(UTC) + timedelta(seconds=seconds) for seconds in (0.0, 4.0)]

        def now(self) -> datetime:
            return self._times.pop(0)

        def monotonic(self) -> float:
            raise AssertionError("not asked")

    with capture_logs() as logs:
        await ClockWatch(engine, SlowTrip(), alarm_seconds=1.0).look()
    assert logs == []
