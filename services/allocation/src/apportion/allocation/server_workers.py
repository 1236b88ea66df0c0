"""Loops of which each trading server has its own, run by one worker of all: reports ask a server to work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.operations.count_mismatches import count_mismatches
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.ports import Positions, Retelling
from apportion.allocation.operations.reconcile_positions import Reconciling, reconcile_positions
from apportion.allocation.operations.refresh_floating import refresh_floating
from apportion.allocation.storage.deviations import list_watched_servers
from apportion.allocation.workers import Dispatcher
from apportion.errors import DomainError
from apportion.runtime import Background, Clock
from apportion.storage import transaction
from apportion.storage.leases import Lease, LeaseKeeper

log = structlog.get_logger()

SERVERS_SECONDS = 5.0
FLOATING_LEASE_SECONDS = 3.0
"""When a worker is gone, records are to float on within five seconds."""
MISMATCHES = Gauge(
    "apportion_allocation_mismatches",
    "Rows that do not add up and are not normal: of master trades, of child trades, and positions opened by hand.",
    ["label", "trading_server", "rows"],
)

Step = Callable[[Lease], Awaitable[float]]


def server_of(lease: Lease) -> tuple[int, int]:
    """(label, trading server)."""
    label, trading_server_id = map(int, lease.key.split("/"))
    return label, trading_server_id


async def _nothing(_lease: Lease) -> None:
    """For work that leaves nothing behind."""


class ServerLoops:
    """One loop for each trading server on which masters trade, each one worker's by a lease: a slow server delays no
    other.

    `step` does the work of a server once and returns the pause until the next time, in seconds.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        kind: str,
        owner: str,
        clock: Clock,
        step: Step,
        *,
        retry_seconds: float,
        ttl_seconds: float = 10.0,
        on_end: Callable[[Lease], Awaitable[None]] = _nothing,
    ) -> None:
        self._engine = engine
        self._kind = kind
        self._step = step
        self._retry_seconds = retry_seconds
        self._on_end = on_end
        self._loops: dict[str, asyncio.Task[None]] = {}
        self._keeper = LeaseKeeper(
            engine,
            kind,
            [],
            owner,
            clock=clock,
            ttl_seconds=ttl_seconds,
            on_acquire=self._begin,
            on_release=self._end,
        )

    async def run(self) -> None:
        async with Background() as background:
            await self._find_servers()
            background.spawn(f"{self._kind}_leases", self._keeper.run)
            await background.spawn(f"{self._kind}_servers", self._follow_servers)

    async def _follow_servers(self) -> None:
        while True:
            await asyncio.sleep(SERVERS_SECONDS)
            await self._find_servers()

    async def _find_servers(self) -> None:
        async with transaction(self._engine) as tx:
            servers = await list_watched_servers(tx)
        self._keeper.replace_keys([f"{label}/{trading_server_id}" for label, trading_server_id in servers])

    async def _begin(self, lease: Lease) -> None:
        self._loops[lease.key] = asyncio.create_task(self._repeat(lease), name=f"{self._kind}_{lease.key}")

    async def _end(self, lease: Lease) -> None:
        loop = self._loops.pop(lease.key)
        loop.cancel()
        await asyncio.gather(loop, return_exceptions=True)
        await self._on_end(lease)

    async def _repeat(self, lease: Lease) -> None:
        while True:
            try:
                pause_seconds = await self._step(lease)
            except Exception:
                log.exception("server_loop_failed", kind=self._kind, server=lease.key)
                pause_seconds = self._retry_seconds
            await asyncio.sleep(pause_seconds)


class Floating:
    """Refreshes the floating profit of artificial records, while there are any."""

    def __init__(
        self, engine: AsyncEngine, positions: Positions, owner: str, clock: Clock, *, pause_seconds: float
    ) -> None:
        self._engine = engine
        self._positions = positions
        self._pause_seconds = pause_seconds
        self._loops = ServerLoops(
            engine,
            "floating",
            owner,
            clock,
            self.look,
            retry_seconds=pause_seconds,
            ttl_seconds=FLOATING_LEASE_SECONDS,
        )

    async def run(self) -> None:
        await self._loops.run()

    async def look(self, lease: Lease) -> float:
        """Of one server. Needs no fence: older news never replace newer. Returns the pause until the next."""
        await refresh_floating(self._engine, self._positions, *server_of(lease))
        return self._pause_seconds


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
        """One comparison of a server. Returns the pause until the next."""
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
        """What cannot be booked keeps nothing else from it, and is tried again in the next round."""
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
