"""Read the live states of the accounts of a trading server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from apportion.platform_groups.domain.account_states import AccountStates, missing_logins, rows_of
from apportion.platform_groups.domain.server_facts import AccountStateColumns
from apportion.platform_groups.operations.ports import TradingServerPort
from apportion.runtime import Clock

BOOKED_SECONDS = 1.0
"""How old a booked balance may be that stands in for a missing state."""


class StatesReader:
    """The server keeps no state for accounts that were idle since its start: their booked balance stands in."""

    def __init__(self, server: TradingServerPort, trading_server_id: int, clock: Clock) -> None:
        self._server = server
        self._trading_server_id = trading_server_id
        self._clock = clock
        self._booked: AccountStateColumns | None = None
        self._booked_at = 0.0

    async def read(self, groups: Sequence[str], account_ids: Mapping[int, int]) -> AccountStates:
        """States of the accounts (ids by login) of these server groups. Raises ServerFailure."""
        server_time_ms = await self._server.server_time_ms()
        observed_time = self._clock.now()
        live = await self._server.account_states(groups)
        booked = await self._booked_states(groups) if len(missing_logins(live, account_ids)) else None
        rows = rows_of(live, booked, account_ids)
        return AccountStates(self._trading_server_id, observed_time, server_time_ms, rows)

    async def _booked_states(self, groups: Sequence[str]) -> AccountStateColumns:
        now = self._clock.monotonic()
        if self._booked is None or now - self._booked_at >= BOOKED_SECONDS:
            self._booked = await self._server.booked_states(groups)
            self._booked_at = now
        return self._booked
