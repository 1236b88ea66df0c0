"""Reads the open positions of masters and tells when their stop loss or take profit changed."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.position_stops import Stops
from apportion.platform_groups.domain.states import AccountKind
from apportion.platform_groups.operations.observe_stops import observe_stops
from apportion.platform_groups.operations.ports import NewId, TradingServerPort
from apportion.platform_groups.storage.position_stops import load_stops
from apportion.platform_groups.workers.directory import Directory
from apportion.platform_groups.workers.state_pump import StatePump
from apportion.runtime import Clock
from apportion.storage import transaction
from apportion.storage.leases import Lease


class StopPump:
    """Asks for those masters that have positions by the newest states, or had some when it last asked."""

    def __init__(
        self,
        engine: AsyncEngine,
        server: TradingServerPort,
        directory: Directory,
        states: StatePump,
        lease: Lease,
        server_id: int,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._engine = engine
        self._server = server
        self._directory = directory
        self._states = states
        self._lease = lease
        self._server_id = server_id
        self._clock = clock
        self._new_id = new_id
        self._known: dict[int, Stops] | None = None

    async def read(self) -> None:
        """One round. Raises ServerFailure; a StaleEpoch ends the pump, its successor goes on."""
        if self._known is None:
            async with transaction(self._engine) as tx:
                self._known = await load_stops(tx, self._server_id)
        busy = self._states.accounts_with_positions() | {stops.account_id for stops in self._known.values()}
        masters = {
            known.login: known
            for known in self._directory.by_login.values()
            if known.kind is AccountKind.MASTER and known.account_id in busy
        }
        if not masters:
            return
        asked_time = self._clock.now()
        positions = await self._server.positions_of_logins(sorted(masters))
        seen = {
            position.position_ticket: Stops(
                masters[position.login].account_id, position.stop_loss_e8, position.take_profit_e8
            )
            for position in positions
        }
        if seen == self._known:
            return
        self._known = await observe_stops(
            self._engine,
            self._new_id,
            self._lease,
            self._server_id,
            next(iter(masters.values())).label,
            {known.account_id for known in masters.values()},
            seen,
            asked_time=asked_time,
            now=self._clock.now(),
        )
