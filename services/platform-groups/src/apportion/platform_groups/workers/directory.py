"""Which groups of a server to read, and whose accounts its logins are."""

from __future__ import annotations

import math

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.storage.accounts import KnownLogin, list_known_logins
from apportion.platform_groups.storage.platform_groups import list_server_groups
from apportion.runtime import Clock
from apportion.storage import transaction


class Directory:
    """A copy of the tables, as old as its readers allow."""

    def __init__(self, engine: AsyncEngine, server_id: int, clock: Clock) -> None:
        self._engine = engine
        self._server_id = server_id
        self._clock = clock
        self._read_at = -math.inf
        self.groups: list[str] = []
        self.by_login: dict[int, KnownLogin] = {}
        self.account_ids: dict[int, int] = {}

    async def refresh(self, oldest_seconds: float) -> None:
        """Read again when the last reading is older than this."""
        if self._clock.monotonic() - self._read_at < oldest_seconds:
            return
        self._read_at = self._clock.monotonic()
        async with transaction(self._engine) as tx:
            self.groups = await list_server_groups(tx, self._server_id)
            self.by_login = {known.login: known for known in await list_known_logins(tx, self._server_id)}
        self.account_ids = {known.login: known.account_id for known in self.by_login.values()}
