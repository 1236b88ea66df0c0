"""Sessions in Redis, by the SHA-256 of their keys only.

A value is `created_ms ends_ms label login wallet_account_id`.
"""

from __future__ import annotations

from dataclasses import dataclass

from apportion.auth_gateway.domain.limits import WINDOW_MS
from apportion.auth_gateway.domain.tokens import SESSION_IDLE_SECONDS, SESSION_MAX_SECONDS, Identity, Session
from apportion.events import Redis, Script

IS_REVOKED = """
local function is_revoked(label, login, since_ms)
  local marks = redis.call('MGET', 'gateway:revoked', 'gateway:revoked:' .. label,
                           'gateway:revoked:' .. label .. ':' .. login)
  for i = 1, 3 do
    if marks[i] and tonumber(marks[i]) >= tonumber(since_ms) then return true end
  end
  return false
end
"""
"""For scripts: whether what a user was given at a time has been revoked since, from him, his broker's users or all."""

_OPEN = Script(f"""{IS_REVOKED}
-- KEYS: session.  ARGV: now ms, idle ms, calls per window, window ms
-- Gives the value, or the milliseconds to wait when the user's quota of calls is used up, or nothing.
local value = redis.call('GET', KEYS[1])
if not value then return false end
local created, ends, label, login = string.match(value, '^(%d+) (%d+) (%d+) (%d+) ')
local left = tonumber(ends) - tonumber(ARGV[1])
if left <= 0 or is_revoked(label, login, created) then
  redis.call('DEL', KEYS[1])
  return false
end
redis.call('PEXPIRE', KEYS[1], math.min(left, tonumber(ARGV[2])))
local calls = 'gateway:calls:' .. label .. ':' .. login
local count = redis.call('INCR', calls)
if count == 1 then redis.call('PEXPIRE', calls, ARGV[4]) end
if count > tonumber(ARGV[3]) then return math.max(redis.call('PTTL', calls), 1) end
return value
""")


def session_key(digest: str) -> str:
    return f"gateway:session:{digest}"


@dataclass(frozen=True, slots=True)
class Sessions:
    """Every method raises RedisUnavailable."""

    redis: Redis

    async def open(self, digest: str, now_ms: int, calls_per_minute: int) -> Session | int | None:
        """The session, which then lives on for its idle time; None when there is none; milliseconds when over quota."""
        arguments = (now_ms, SESSION_IDLE_SECONDS * 1000, calls_per_minute, WINDOW_MS)
        found = await self.redis.run_script(_OPEN, [session_key(digest)], *arguments)
        if found is None or isinstance(found, int):
            return found
        created_ms, ends_ms, label, login, wallet_account_id = map(int, found.split())
        return Session(Identity(label, login, wallet_account_id), digest, created_ms, ends_ms)

    async def close(self, digest: str) -> None:
        """End one session."""
        await self.redis.command("DEL", session_key(digest))

    async def revoke(self, now_ms: int, label: int | None = None, login: int | None = None) -> None:
        """End every session and token given until now: of one user, of a broker (no login), of all (no label)."""
        scope = "".join(f":{part}" for part in (label, login) if part is not None)
        await self.redis.command("SET", f"gateway:revoked{scope}", now_ms, "PX", SESSION_MAX_SECONDS * 1000)
