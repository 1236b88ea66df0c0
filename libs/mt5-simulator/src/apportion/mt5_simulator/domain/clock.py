"""The server's clock: simulated time that runs at a multiple of real time, can stand still, and can be moved on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

DAY_MS = 86_400_000
LARGEST_SPEED = 86_400
"""A day in a second: the prices of the day are still walked through minute by minute."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class ServerClock:
    """All readings take a monotonic time in seconds, which the caller reads from its own clock."""

    def __init__(self, zone: str, utc_ms: int, speed: float, paused: bool, monotonic_seconds: float) -> None:
        self.zone = ZoneInfo(zone)
        self.speed = _checked(speed)
        self.paused = paused
        self._utc_ms = float(utc_ms)
        self._since = monotonic_seconds

    def utc_ms(self, monotonic_seconds: float) -> int:
        running = 0.0 if self.paused else (monotonic_seconds - self._since) * self.speed
        return int(self._utc_ms + 1000 * running)

    def server_ms(self, monotonic_seconds: float) -> int:
        """Milliseconds since 1970 on the server's civil clock, as all times of the Web API are."""
        utc_ms = self.utc_ms(monotonic_seconds)
        return utc_ms + 1000 * self.offset_seconds(utc_ms)

    def offset_seconds(self, utc_ms: int) -> int:
        offset = (_EPOCH + timedelta(milliseconds=utc_ms)).astimezone(self.zone).utcoffset() or timedelta()
        return int(offset.total_seconds())

    def standard_offset_seconds(self, utc_ms: int) -> int:
        """The offset without daylight saving."""
        moment = (_EPOCH + timedelta(milliseconds=utc_ms)).astimezone(self.zone)
        return self.offset_seconds(utc_ms) - int((moment.dst() or timedelta()).total_seconds())

    def change(
        self, monotonic_seconds: float, *, advance_ms: int = 0, speed: float | None = None, paused: bool | None = None
    ) -> None:
        """Move on, run faster or slower, stand still: from now. ValueError for a speed or a move that cannot be."""
        speed = self.speed if speed is None else _checked(speed)
        if advance_ms < 0:
            raise ValueError("the clock only moves forward")
        self._utc_ms = float(self.utc_ms(monotonic_seconds) + advance_ms)
        self._since = monotonic_seconds
        self.speed = speed
        self.paused = self.paused if paused is None else paused


def _checked(speed: float) -> float:
    if not 0 < speed <= LARGEST_SPEED:
        raise ValueError(f"the speed is above 0 and at most {LARGEST_SPEED}")
    return speed


def start_utc_ms(text: str, zone: str) -> int:
    """`2026-03-03T10:00:00` on the server's civil clock as UTC milliseconds."""
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)
