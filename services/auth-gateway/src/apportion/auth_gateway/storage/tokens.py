"""One-time tokens in Redis, by their SHA-256 only.

A value is `issued_ms expires_ms label login wallet_account_id area`. Exchanged tokens leave a mark that
names the session they opened for as long as it can live: a second use of the token closes that session.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from apportion.auth_gateway.domain.tokens import (
    SESSION_IDLE_SECONDS,
    SESSION_MAX_SECONDS,
    Identity,
    Session,
    TokenGrant,
)
from apportion.auth_gateway.storage.sessions import IS_REVOKED, session_key
from apportion.events import Redis, Script

_EXCHANGE = Script(f"""{IS_REVOKED}
-- KEYS: token, mark, session.  ARGV: now ms, idle ms, session ms, session digest, allowed labels (' 1 2 ', '' for any)
local value = redis.call('GET', KEYS[1])
if not value then
  local opened = redis.call('GET', KEYS[2])
  if opened then redis.call('DEL', 'gateway:session:' .. opened) end
  return false
end
redis.call('DEL', KEYS[1])
local issued, expires, identity, label, login = string.match(value, '^(%d+) (%d+) ((%d+) (%d+) %d+) ')
if not issued or tonumber(expires) <= tonumber(ARGV[1]) or is_revoked(label, login, issued) then return false end
if ARGV[5] ~= '' and not string.find(ARGV[5], ' ' .. label .. ' ', 1, true) then return false end
local ends = string.format('%.0f', tonumber(ARGV[1]) + tonumber(ARGV[3]))
redis.call('SET', KEYS[3], ARGV[1] .. ' ' .. ends .. ' ' .. identity, 'PX', ARGV[2])
redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[3])
return identity
""")


def token_key(digest: str) -> str:
    return f"gateway:token:{digest}"


def token_value(grant: TokenGrant) -> str:
    who = grant.identity
    return f"{grant.issued_ms} {grant.expires_ms} {who.label} {who.login} {who.wallet_account_id} {grant.area}"


@dataclass(frozen=True, slots=True)
class Tokens:
    """Every method raises RedisUnavailable."""

    redis: Redis

    async def find(self, digest: str, now_ms: int) -> TokenGrant | None:
        """What an unused token stands for; it stays usable."""
        value = await self.redis.command("GET", token_key(digest))
        if value is None:
            return None
        *numbers, area = value.decode().split(" ", 5)
        issued_ms, expires_ms, *who = map(int, numbers)
        return TokenGrant(Identity(*who), area, issued_ms, expires_ms) if expires_ms > now_ms else None

    async def store(self, digest: str, grant: TokenGrant, now_ms: int) -> None:
        """Keep a token until it expires."""
        await self.redis.command("SET", token_key(digest), token_value(grant), "PX", grant.expires_ms - now_ms)

    async def exchange(
        self, digest: str, session_digest: str, labels: Collection[int] | None, now_ms: int
    ) -> Session | None:
        """Spend a token for a session: one winner, whoever asks at the same time. None when it was not valid.

        A token of a label that is not among `labels` (None: any) is spent without a session.
        """
        keys = [token_key(digest), f"gateway:spent:{digest}", session_key(session_digest)]
        idle_ms, max_ms = SESSION_IDLE_SECONDS * 1000, SESSION_MAX_SECONDS * 1000
        allowed = "" if labels is None else f" {' '.join(map(str, labels))} "
        found = await self.redis.run_script(_EXCHANGE, keys, now_ms, idle_ms, max_ms, session_digest, allowed)
        if found is None:
            return None
        label, login, wallet_account_id = map(int, found.split())
        return Session(Identity(label, login, wallet_account_id), session_digest, now_ms, now_ms + max_ms)
