"""Reads account states and prices and publishes them as weather."""

from __future__ import annotations

import numpy as np

from apportion.api.platform_groups.v1 import events_pb2
from apportion.platform_groups.domain.server_facts import AccountStateColumns, Int64s, ServerTick
from apportion.platform_groups.operations.ports import TradingServerPort, WeatherPort
from apportion.platform_groups.workers.directory import Directory
from apportion.rpc import set_column, to_timestamp
from apportion.runtime import Clock

QUIET_SECONDS = 1.0
"""Prices are published this often even when none changed: a reader sees that the pump is alive."""
BOOKED_SECONDS = 1.0
"""How old a booked balance may be that stands in for a missing state."""
DIRECTORY_SECONDS = 1.0


class StatePump:
    """The server keeps no state for accounts that were idle since its start: their booked balance stands in."""

    def __init__(
        self, server: TradingServerPort, directory: Directory, weather: WeatherPort, server_id: int, clock: Clock
    ) -> None:
        self._server = server
        self._directory = directory
        self._weather = weather
        self._server_id = server_id
        self._clock = clock
        self._booked: AccountStateColumns | None = None
        self._booked_at = 0.0

    async def read(self) -> None:
        """One round. Raises ServerFailure, UpstreamUnavailable."""
        await self._directory.refresh(DIRECTORY_SECONDS)
        groups, by_login = self._directory.groups, self._directory.by_login
        if not groups or not by_login:
            return
        server_time_ms = await self._server.server_time_ms()
        observed_time = self._clock.now()
        live = await self._server.account_states(groups)
        known = np.array(sorted(by_login), dtype=np.int64)
        table = _table(live)
        missing = np.setdiff1d(known, live.logins, assume_unique=True)
        if len(missing):
            booked = _table(await self._booked_states(groups))
            table = np.concatenate([table, booked[np.isin(booked[:, 0], missing)]])
        table = table[np.isin(table[:, 0], known)]
        table[:, 0] = [by_login[login].account_id for login in table[:, 0].tolist()]
        table = table[np.argsort(table[:, 0], kind="stable")]
        message = events_pb2.AccountStates(
            trading_server_id=self._server_id,
            observed_time=to_timestamp(observed_time),
            server_time_ms=server_time_ms,
        )
        for index, name in enumerate(COLUMNS):
            set_column(message, name, table[:, index])
        await self._weather.publish_states(message, version=int(observed_time.timestamp() * 1_000_000))

    async def _booked_states(self, groups: list[str]) -> AccountStateColumns:
        now = self._clock.monotonic()
        if self._booked is None or now - self._booked_at >= BOOKED_SECONDS:
            self._booked = await self._server.booked_states(groups)
            self._booked_at = now
        return self._booked


COLUMNS = (
    "account_ids",
    "balances_minor",
    "credits_minor",
    "equities_minor",
    "margins_minor",
    "free_margins_minor",
    "position_flags",
)


def _table(columns: AccountStateColumns) -> Int64s:
    """Rows of one state each, in the order of COLUMNS with the login for the account id."""
    return np.stack(
        [
            columns.logins,
            columns.balances_minor,
            columns.credits_minor,
            columns.equities_minor,
            columns.margins_minor,
            columns.free_margins_minor,
            columns.position_flags,
        ],
        axis=1,
    )


class TickPump:
    """The server tells what changed; all newest prices are published together."""

    def __init__(self, server: TradingServerPort, weather: WeatherPort, server_id: int, clock: Clock) -> None:
        self._server = server
        self._weather = weather
        self._server_id = server_id
        self._clock = clock
        self._newest: dict[str, ServerTick] = {}
        self._published_at = 0.0

    async def read(self) -> None:
        """One round. Raises ServerFailure, UpstreamUnavailable."""
        observed_time = self._clock.now()
        changed = await self._server.changed_ticks()
        self._newest.update((tick.symbol, tick) for tick in changed)
        if not self._newest or (not changed and self._clock.monotonic() - self._published_at < QUIET_SECONDS):
            return
        self._published_at = self._clock.monotonic()
        ticks = [self._newest[symbol] for symbol in sorted(self._newest)]
        message = events_pb2.Ticks(
            trading_server_id=self._server_id,
            observed_time=to_timestamp(observed_time),
            server_time_ms=max(tick.server_time_ms for tick in ticks),
            symbols=[tick.symbol for tick in ticks],
        )
        set_column(message, "bids_e8", [tick.bid_e8 for tick in ticks])
        set_column(message, "asks_e8", [tick.ask_e8 for tick in ticks])
        set_column(message, "server_times_ms", [tick.server_time_ms for tick in ticks])
        await self._weather.publish_ticks(message, version=int(observed_time.timestamp() * 1_000_000))
