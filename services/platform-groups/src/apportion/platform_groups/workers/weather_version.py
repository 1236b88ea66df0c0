"""Versions of weather: the newest owner of a pump wins, whatever the clocks of the hosts say."""

from __future__ import annotations

from apportion.runtime import Clock
from apportion.storage.leases import Lease

MILLISECOND_BITS = 42
"""Milliseconds since 1970 fit until the year 2109."""


class WeatherVersion:
    """The lease's epoch above a time in milliseconds that never stands still nor goes back."""

    def __init__(self, lease: Lease, clock: Clock) -> None:
        self._epoch = lease.epoch
        self._clock = clock
        self._last = 0

    def next(self) -> int:
        milliseconds = int(self._clock.now().timestamp() * 1000)
        self._last = max(self._last + 1, self._epoch << MILLISECOND_BITS | milliseconds)
        return self._last
