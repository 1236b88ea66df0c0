from __future__ import annotations

from datetime import UTC, datetime

import pytest

from apportion.mt5_simulator.domain.clock import ServerClock, start_utc_ms


def _civil(clock: ServerClock, monotonic_seconds: float) -> str:
    return str(datetime.fromtimestamp(clock.server_ms(monotonic_seconds) / 1000, UTC))[:19]


def test_time_runs_at_its_speed_and_stands_still_when_paused() -> None:
    clock = ServerClock("Europe/Helsinki", start_utc_ms("2026-03-03T10:00:00", "Europe/Helsinki"), 60, False, 100.0)
    assert _civil(clock, 100.0) == "2026-03-03 10:00:00"
    assert _civil(clock, 110.0) == "2026-03-03 10:10:00"
    clock.change(110.0, paused=True)
    assert _civil(clock, 900.0) == "2026-03-03 10:10:00"
    clock.change(900.0, advance_ms=1_000)
    clock.change(900.0, paused=False, speed=1.0)
    assert _civil(clock, 902.0) == "2026-03-03 10:10:03"


def test_time_neither_stops_by_its_speed_nor_goes_back() -> None:
    clock = ServerClock("UTC", 0, 1, False, 0.0)
    for speed in (0, -1, 86_401):
        with pytest.raises(ValueError, match="speed"):
            clock.change(0.0, speed=speed)
    with pytest.raises(ValueError, match="forward"):
        clock.change(0.0, advance_ms=-1)


def test_server_time_follows_the_zones_summer_time() -> None:
    zone = "Europe/Helsinki"
    clock = ServerClock(zone, start_utc_ms("2026-03-29T02:59:59", zone), 1, False, 0.0)
    assert (_civil(clock, 0.0), _civil(clock, 1.0)) == ("2026-03-29 02:59:59", "2026-03-29 04:00:00")
    assert clock.offset_seconds(clock.utc_ms(1.0)) == 3 * 3600
    assert clock.standard_offset_seconds(clock.utc_ms(1.0)) == 2 * 3600
