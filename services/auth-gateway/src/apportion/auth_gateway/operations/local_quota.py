"""The quota that holds while Redis is down: never unlimited."""

from __future__ import annotations

from collections import deque

from apportion.auth_gateway.domain.limits import WINDOW_MS, Attempt, AttemptLimits

MAX_LOGINS = 10_000


class LocalQuota:
    """Attempts of this process alone, by a sliding window per login."""

    def __init__(self, limits: AttemptLimits) -> None:
        self._limits = limits
        self._times: dict[tuple[int, int], deque[int]] = {}

    def admit(self, attempt: Attempt, now_ms: int) -> int:
        """Count an attempt: milliseconds to wait, 0 for admitted. With too many logins at once, all must wait."""
        key = (attempt.label, attempt.login)
        times = self._times.get(key)
        if times is None:
            if len(self._times) >= MAX_LOGINS and not self._forget(now_ms):
                return WINDOW_MS
            times = self._times[key] = deque(maxlen=self._limits.per_login)
        if len(times) == self._limits.per_login and now_ms - times[0] < WINDOW_MS:
            return WINDOW_MS - (now_ms - times[0])
        times.append(now_ms)
        return 0

    def _forget(self, now_ms: int) -> bool:
        old = [key for key, times in self._times.items() if now_ms - times[-1] >= WINDOW_MS]
        for key in old:
            del self._times[key]
        return bool(old)
