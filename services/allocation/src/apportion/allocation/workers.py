"""The loops behind the hot path: send decisions, make child rows, compare open with wanted, keep statistics."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType

import structlog
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation, DispatchState
from apportion.allocation.domain.child_orders import ChildOrders
from apportion.allocation.domain.payouts import Backoff
from apportion.allocation.domain.retries import Retries
from apportion.allocation.operations.count_mismatches import count_mismatches
from apportion.allocation.operations.dispatch_allocation import dispatch_allocation
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.modify_stops import repeat_stops
from apportion.allocation.operations.pay_out import pay_out
from apportion.allocation.operations.ports import Orders, Positions, Retelling, States, Transfers
from apportion.allocation.operations.project_children import BATCH, project_children
from apportion.allocation.operations.reconcile_positions import Reconciling, reconcile_positions
from apportion.allocation.operations.refresh_floating import refresh_floating
from apportion.allocation.operations.refresh_leaderboard import refresh_leaderboard
from apportion.allocation.operations.reopen_children import reopen_children
from apportion.allocation.operations.sample_equities import sample_equities
from apportion.allocation.storage.allocations import list_undispatched
from apportion.allocation.storage.deviations import list_watched_servers
from apportion.errors import DomainError
from apportion.runtime import Background, Clock
from apportion.storage import transaction
from apportion.storage.leases import Lease, LeaseKeeper

log = structlog.get_logger()

CONCURRENT_DISPATCHES = 8
UNDISPATCHED_BATCH = 100
NOTHING: Mapping[int, ChildOrders] = MappingProxyType({})
SERVERS_SECONDS = 5.0
MISMATCHES = Gauge(
    "apportion_allocation_mismatches",
    "Rows that do not add up and are not normal: of master trades, of child trades, and positions opened by hand.",
    ["label", "trading_server", "rows"],
)


class Dispatcher:
    """Sends decisions as soon as they are committed, and finds those that a crash left behind."""

    def __init__(
        self, engine: AsyncEngine, orders: Orders, clock: Clock, *, retries: Retries, pause_seconds: float
    ) -> None:
        self._engine = engine
        self._orders = orders
        self._retries = retries
        self._clock = clock
        self._pause_seconds = pause_seconds
        self._slots = asyncio.Semaphore(CONCURRENT_DISPATCHES)
        self._running: dict[int, asyncio.Task[None]] = {}
        self.committed = asyncio.Event()
        """Set when there is something to send, and to project."""

    def dispatch(self, allocations: Iterable[Allocation], at_hand: Mapping[int, ChildOrders] = NOTHING) -> None:
        """Hand over decisions that were just committed, and the orders at hand by allocation; does not wait."""
        for allocation in allocations:
            self.committed.set()
            if allocation.dispatch_state is DispatchState.PENDING:
                self._begin(allocation.label, allocation.allocation_id, at_hand.get(allocation.allocation_id))

    async def run(self) -> None:
        """Look for decisions that nobody sends, for ever."""
        try:
            while True:
                before = self._clock.now() - timedelta(seconds=self._pause_seconds)
                async with transaction(self._engine) as tx:
                    waiting = await list_undispatched(tx, before=before, limit=UNDISPATCHED_BATCH)
                for label, allocation_id in waiting:
                    self._begin(label, allocation_id)
                await asyncio.sleep(self._pause_seconds)
        finally:
            await self._finish()

    async def _finish(self) -> None:
        while self._running:
            await asyncio.wait([*self._running.values()])

    def _begin(self, label: int, allocation_id: int, children: ChildOrders | None = None) -> None:
        if allocation_id not in self._running:
            task = asyncio.create_task(self._dispatch(label, allocation_id, children), name=f"dispatch_{allocation_id}")
            self._running[allocation_id] = task
            task.add_done_callback(lambda _: self._running.pop(allocation_id, None))

    async def _dispatch(self, label: int, allocation_id: int, children: ChildOrders | None) -> None:
        try:
            async with self._slots:
                await dispatch_allocation(
                    self._engine,
                    self._orders,
                    label,
                    allocation_id,
                    children,
                    retries=self._retries,
                    clock=self._clock,
                )
        except DomainError as error:
            log.warning("dispatch_delayed", allocation_id=allocation_id, reason=error.reason, message=error.message)
        except Exception:
            log.exception("dispatch_failed", allocation_id=allocation_id)


class Payer:
    """Sends payouts, and starts the next attempts at refused ones; any number of workers may run one."""

    def __init__(
        self, engine: AsyncEngine, transfers: Transfers, clock: Clock, *, backoff: Backoff, pause_seconds: float
    ) -> None:
        self._engine = engine
        self._transfers = transfers
        self._clock = clock
        self._backoff = backoff
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        while True:
            while await pay_out(self._engine, self._transfers, self._clock, self._backoff):
                pass
            await asyncio.sleep(self._pause_seconds)


class Floating:
    """Refreshes the floating profit of artificial records, while there are any."""

    def __init__(self, engine: AsyncEngine, positions: Positions, *, pause_seconds: float) -> None:
        self._engine = engine
        self._positions = positions
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        while True:
            await refresh_floating(self._engine, self._positions)
            await asyncio.sleep(self._pause_seconds)


class Projector:
    """Makes child trade rows behind the decisions."""

    def __init__(self, engine: AsyncEngine, clock: Clock, committed: asyncio.Event, *, pause_seconds: float) -> None:
        self._engine = engine
        self._clock = clock
        self._committed = committed
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        """Look for decisions without rows, for ever: at once after a commit here, now and then for those of others."""
        while True:
            self._committed.clear()
            while await project_children(self._engine, now=self._clock.now()) == BATCH:
                pass
            try:
                async with asyncio.timeout(self._pause_seconds):
                    await self._committed.wait()
            except TimeoutError:
                continue


class Reopener:
    """Opens again what was not opened, and sends again stops that were refused, each child's after a pause."""

    def __init__(self, engine: AsyncEngine, dispatcher: Dispatcher, clock: Clock, retries: Retries) -> None:
        self._engine = engine
        self._dispatcher = dispatcher
        self._clock = clock
        self._retries = retries

    async def run(self) -> None:
        while True:
            self._dispatcher.dispatch(await reopen_children(self._engine, self._retries, now=self._clock.now()))
            self._dispatcher.dispatch(await repeat_stops(self._engine, now=self._clock.now()))
            await asyncio.sleep(self._retries.pause_seconds)


class FollowUp:
    """Compares what is open with what should be, now and then, and closes what is too much."""

    def __init__(self, engine: AsyncEngine, dispatcher: Dispatcher, clock: Clock, *, pause_seconds: float) -> None:
        self._engine = engine
        self._dispatcher = dispatcher
        self._clock = clock
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        while True:
            self._dispatcher.dispatch(await follow_up_positions(self._engine, now=self._clock.now()))
            await asyncio.sleep(self._pause_seconds)


class Statistician:
    """Notes equities and computes the leaderboard, now and then: one worker for all, by a lease."""

    def __init__(
        self,
        engine: AsyncEngine,
        states: States,
        owner: str,
        clock: Clock,
        *,
        sample_seconds: float,
        leaderboard_seconds: float,
    ) -> None:
        self._engine = engine
        self._states = states
        self._clock = clock
        self._sample_seconds = sample_seconds
        self._leaderboard_seconds = leaderboard_seconds
        self._tasks: list[asyncio.Task[None]] = []
        self._keeper = LeaseKeeper(
            engine, "statistics", ["all"], owner, clock=clock, on_acquire=self._begin, on_release=self._end
        )

    async def run(self) -> None:
        await self._keeper.run()

    async def sample(self, lease: Lease) -> None:
        """Note what masters' and followers' accounts have now. Raises StaleEpoch."""
        await sample_equities(self._engine, self._states, lease)

    async def refresh(self, lease: Lease) -> None:
        """Compute the leaderboard anew. Raises StaleEpoch."""
        await refresh_leaderboard(self._engine, lease, now=self._clock.now())

    async def _begin(self, lease: Lease) -> None:
        work = ((self.sample, self._sample_seconds), (self.refresh, self._leaderboard_seconds))
        self._tasks = [asyncio.create_task(self._repeat(step, lease, seconds)) for step, seconds in work]

    async def _end(self, _lease: Lease) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _repeat(self, step: Callable[[Lease], Awaitable[None]], lease: Lease, pause_seconds: float) -> None:
        while True:
            try:
                await step(lease)
            except DomainError as error:
                log.warning("statistics_delayed", step=step.__name__, reason=error.reason, message=error.message)
            except Exception:
                log.exception("statistics_failed", step=step.__name__)
            await asyncio.sleep(pause_seconds)


class Reconciler:
    """Compares the books with the trading servers: at the start, at once when a server is back, and every minute.
    Deals and results of orders that seem to have been missed are asked for and booked.

    Each server is one worker's, by a lease that every write checks.
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
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._keeper = LeaseKeeper(
            engine, "reconcile", [], owner, clock=clock, on_acquire=self._begin, on_release=self._end
        )

    async def run(self) -> None:
        async with Background() as background:
            await self._find_servers()
            background.spawn("reconcile_leases", self._keeper.run)
            await background.spawn("reconcile_servers", self._follow_servers)

    async def look(self, lease: Lease) -> float:
        """One comparison of a server. Returns the pause until the next."""
        label, trading_server_id = map(int, lease.key.split("/"))
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

    async def _follow_servers(self) -> None:
        while True:
            await asyncio.sleep(SERVERS_SECONDS)
            await self._find_servers()

    async def _find_servers(self) -> None:
        async with transaction(self._engine) as tx:
            servers = await list_watched_servers(tx)
        self._keeper.replace_keys([f"{label}/{trading_server_id}" for label, trading_server_id in servers])

    async def _begin(self, lease: Lease) -> None:
        self._watches[lease.key] = asyncio.create_task(self._watch(lease), name=f"reconcile_{lease.key}")

    async def _end(self, lease: Lease) -> None:
        watch = self._watches.pop(lease.key)
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
        label, trading_server = lease.key.split("/")
        MISMATCHES.remove_by_labels({"label": label, "trading_server": trading_server})

    async def _watch(self, lease: Lease) -> None:
        while True:
            try:
                pause_seconds = await self.look(lease)
            except Exception:
                log.exception("reconcile_failed", server=lease.key)
                pause_seconds = self._retry_seconds
            await asyncio.sleep(pause_seconds)
