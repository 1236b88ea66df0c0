"""Compares the books with the trading servers."""

from __future__ import annotations

from collections.abc import Awaitable

import structlog
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.operations.count_mismatches import count_mismatches
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.ports import Positions, Retelling
from apportion.allocation.operations.reconcile_positions import Reconciling, reconcile_positions
from apportion.allocation.workers.dispatcher import Dispatcher
from apportion.allocation.workers.server_loops import ServerLoops, server_of
from apportion.errors import DomainError
from apportion.runtime import Clock
from apportion.storage.leases import Lease

log = structlog.get_logger()

MISMATCHES = Gauge(
    "apportion_allocation_mismatches",
    "Rows that do not add up and are not normal: of master trades, of child trades, and positions opened by hand.",
    ["label", "trading_server", "rows"],
)


class Reconciler:
    """Compares the books with the trading servers: at the start, at once when a server is back, and every minute.
    Deals and results of orders that seem to have been missed are asked for and booked. Every write checks the lease.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        positions: Positions,
        retelling: Retelling,
        dispatcher: Dispatcher,
        owner: str,
        clock: Clock,
        *,
        rules: Reconciling,
        pause_seconds: float,
        retry_seconds: float,
    ) -> None:
        self._engine = engine
        self._positions = positions
        self._retelling = retelling
        self._dispatcher = dispatcher
        self._clock = clock
        self._rules = rules
        self._pause_seconds = pause_seconds
        self._retry_seconds = retry_seconds
        self._loops = ServerLoops(
            engine, "reconcile", owner, clock, self.look, retry_seconds=retry_seconds, on_end=self._show_nothing
        )

    async def run(self) -> None:
        await self._loops.run()

    async def look(self, lease: Lease) -> float:
        """Compares one server; returns the pause until the next time."""
        label, trading_server_id = server_of(lease)
        try:
            done = await reconcile_positions(
                self._engine,
                self._positions,
                label,
                trading_server_id,
                self._rules,
                lease=lease,
                now=self._clock.now(),
            )
            if done.adopted_count:
                self._dispatcher.dispatch(await follow_up_positions(self._engine, now=self._clock.now()))
        except DomainError as error:
            log.warning("positions_not_compared", server=lease.key, reason=error.reason, message=error.message)
            return self._retry_seconds
        for missed in done.missed:
            await self._catch_up(
                self._retelling.deals(lease, label, missed.account_ids, missed.position_tickets, missed.since_time)
            )
        for allocation_id in done.unanswered:
            await self._catch_up(self._retelling.orders(lease, label, allocation_id))
        await self._count(label, trading_server_id)
        return self._rules.confirm_seconds if done.wants_second_look else self._pause_seconds

    async def _catch_up(self, booking: Awaitable[None]) -> None:
        """A failure keeps nothing else from being booked; the next round tries again."""
        try:
            await booking
        except DomainError as error:
            log.warning("missed_not_booked", reason=error.reason, message=error.message)
        except Exception:
            log.exception("missed_not_booked")

    async def _count(self, label: int, trading_server_id: int) -> None:
        try:
            counts = await count_mismatches(self._engine, label, trading_server_id)
        except DomainError as error:
            log.warning("mismatches_not_counted", trading_server_id=trading_server_id, reason=error.reason)
            return
        for rows, count in counts.items():
            MISMATCHES.labels(label, trading_server_id, rows).set(count)

    async def _show_nothing(self, lease: Lease) -> None:
        label, trading_server = lease.key.split("/")
        MISMATCHES.remove_by_labels({"label": label, "trading_server": trading_server})
