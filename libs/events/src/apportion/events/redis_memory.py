"""Tells when Redis has forgotten what we wrote: wiped, restarted from an old file, failed over to a late replica."""

from __future__ import annotations

import re

from apportion.events.redis import Redis

RESTORING = b"restoring"
MARKER_SECONDS = 86_400  # renewed by each look; of a worker that is gone it does not stay for ever
RUN_ID = re.compile(rb"run_id:(\w+)")


class RedisMemory:
    """A marker key that holds the run id of the server which has our data.

    The key is gone after a wipe; after a restart or failover the run id is another one. The state lives in Redis, so
    a new process notices what happened before it started.
    """

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis = redis
        self._key = f"events:memory:{name}"
        self._run_id = b""

    async def is_intact(self) -> bool:
        """False until `confirm` has succeeded for this run of the server. Raises UpstreamUnavailable."""
        marker, info = await self._redis.commands([("GETEX", self._key, "EX", MARKER_SECONDS), ("INFO", "server")])
        found = RUN_ID.search(info)
        self._run_id = found.group(1) if found else b""
        return bool(marker == self._run_id)

    async def begin_restoring(self) -> None:
        """Call before writing anew: a second wipe while writing then shows as a missing marker in `confirm`."""
        await self._redis.command("SET", self._key, RESTORING, "EX", MARKER_SECONDS)

    async def confirm(self) -> bool:
        """Mark the data as complete; False when Redis was wiped since `begin_restoring`."""
        return await self._redis.command("SET", self._key, self._run_id, "XX", "EX", MARKER_SECONDS) is not None

    async def renew(self) -> None:
        """Mark this run of the server, for a reader that is about to look at all of it anew."""
        await self.is_intact()
        await self.begin_restoring()
        await self.confirm()
