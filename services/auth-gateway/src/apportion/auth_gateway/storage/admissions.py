"""Quotas that all replicas share, and the token of an admitted sign-in, in one round trip."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass

from apportion.auth_gateway.domain.limits import UNKNOWN_LABEL, WINDOW_MS, Attempt, AttemptLimits
from apportion.auth_gateway.domain.tokens import TokenGrant, digest_of
from apportion.auth_gateway.storage.tokens import token_key, token_value
from apportion.events import Redis, Script

_ADMIT = Script("""
-- KEYS: attempts of the login, counts of the network, the label and all, lock, token
-- ARGV: now ms, window ms, login max, network max, label max, total max, token value ('' for none), token ms
local now, window, login_max = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local locked = redis.call('PTTL', KEYS[5])
if locked > 0 then return locked end
local oldest = redis.call('LINDEX', KEYS[1], login_max - 1)
if oldest and now - tonumber(oldest) < window then return window - (now - tonumber(oldest)) end
for i = 2, 4 do
  local count = redis.call('INCR', KEYS[i])
  if count == 1 then redis.call('PEXPIRE', KEYS[i], window) end
  if count > tonumber(ARGV[i + 2]) then return math.max(redis.call('PTTL', KEYS[i]), 1) end
end
if redis.call('LPUSH', KEYS[1], ARGV[1]) > login_max then redis.call('LTRIM', KEYS[1], 0, login_max - 1) end
redis.call('PEXPIRE', KEYS[1], window)
if ARGV[7] ~= '' then redis.call('SET', KEYS[6], ARGV[7], 'PX', ARGV[8]) end
return 0
""")

_FAIL = Script("""
-- KEYS: failures, lock.  ARGV: free failures, longest lock ms
local count = redis.call('INCR', KEYS[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local beyond = count - tonumber(ARGV[1])
if beyond > 0 then
  redis.call('SET', KEYS[2], '1', 'PX', math.min(1000 * 2 ^ math.min(beyond - 1, 20), tonumber(ARGV[2])))
end
return count
""")

_COUNT = Script("""
-- KEYS: counter.  ARGV: max, window ms
local count = redis.call('INCR', KEYS[1])
if count == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
if count > tonumber(ARGV[1]) then return math.max(redis.call('PTTL', KEYS[1]), 1) end
return 0
""")


@dataclass(frozen=True, slots=True)
class Admissions:
    """Attempts counted in Redis, each by one script. Awaiting any of them raises RedisUnavailable."""

    redis: Redis
    limits: AttemptLimits

    def admit(self, attempt: Attempt, now_ms: int, token: str = "", grant: TokenGrant | None = None) -> Awaitable[int]:
        """Count an attempt, and store the token of one that was found right: milliseconds to wait, 0 for admitted.

        The login's window slides: no 60 s hold more than its quota. Those of network, label and all are fixed, and who
        is refused by one counts in none behind it: neither one network nor invented labels use up what others have.
        """
        login, limits = f"{attempt.label}:{attempt.login}", self.limits
        keys = [
            f"gateway:attempts:{login}",
            f"gateway:attempts:{attempt.label}:{attempt.network}",
            f"gateway:attempts:label:{attempt.label if attempt.is_known else UNKNOWN_LABEL}",
            "gateway:attempts",
            f"gateway:lock:{attempt.label}:{attempt.network}",
            token_key(digest_of(token)) if grant else "gateway:token",
        ]
        quotas = (limits.per_login, limits.per_address, limits.per_label, limits.total)
        value, ttl_ms = (token_value(grant), grant.expires_ms - now_ms) if grant else ("", 0)
        return self.redis.run_script(_ADMIT, keys, now_ms, WINDOW_MS, *quotas, value, ttl_ms)

    def fail(self, attempt: Attempt) -> Awaitable[int]:
        """Count a wrong password: failures of this network so far. Beyond the free ones each doubles a lock-out."""
        scope = f"{attempt.label}:{attempt.network}"
        keys = [f"gateway:failures:{scope}", f"gateway:lock:{scope}"]
        return self.redis.run_script(_FAIL, keys, self.limits.free_failures, self.limits.max_lock_ms)

    def count(self, scope: str, quota: int) -> Awaitable[int]:
        """Count one use of a quota per 60 s: milliseconds to wait, 0 for admitted."""
        return self.redis.run_script(_COUNT, [f"gateway:uses:{scope}"], quota, WINDOW_MS)
