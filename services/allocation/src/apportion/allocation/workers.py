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
from apportion.allocation.domain.retries import Retries
from apportion.allocation.operations.dispatch_allocation import dispatch_allocation
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.modify_stops import repeat_stops
from apportion.allocation.operations.ports import Orders, States
from apportion.allocation.operations.project_children import BATCH, project_children
from apportion.allocation.operations.refresh_leaderboard import refresh_leaderboard
from apportion.allocation.operations.reopen_children import reopen_children
from apportion.allocation.operations.sample_equities import sample_equities
from apportion.allocation.storage.allocations import list_undispatched
from apportion.allocation.storage.distributions import sum_undistributed
from apportion.errors import DomainError
from apportion.runtime import Clock
from apportion.storage import transaction
from apportion.storage.leases import Lease, LeaseKeeper

log = structlog.get_logger()

CONCURRENT_DISPATCHES = 8
UNDISPATCHED_BATCH = 100
NOTHING: Mapping[int, ChildOrders] = MappingProxyType({})
UNDISTRIBUTED_PAUSE_SECONDS = 15.0
UNDISTRIBUTED_SPAN = timedelta(days=1)
UNDISTRIBUTED_NAMES = ("label", "currency", "reason")
UNDISTRIBUTED_MINOR = Gauge(
    "apportion_allocation_undistributed_minor",
    "Money of pooled masters' deals of the last day that belongs to nobody: sum of magnitudes in minor units.",
    UNDISTRIBUTED_NAMES,
)
UNDISTRIBUTED_COUNT = Gauge("apportion_allocation_undistributed_deals", "Deals with such money.", UNDISTRIBUTED_NAMES)


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


class UndistributedWatch:
    """Shows what of the money of recent deals belongs to nobody."""

    def __init__(self, engine: AsyncEngine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._shown: set[tuple[str, str, str]] = set()

    async def run(self) -> None:
        while True:
            await self.measure()
            await asyncio.sleep(UNDISTRIBUTED_PAUSE_SECONDS)

    async def measure(self) -> None:
        async with transaction(self._engine) as tx:
            sums = await sum_undistributed(tx, self._clock.now() - UNDISTRIBUTED_SPAN)
        found = {(str(row.label), row.currency_code, row.reason): row for row in sums}
        for names, row in found.items():
            UNDISTRIBUTED_MINOR.labels(*names).set(row.amount_minor)
            UNDISTRIBUTED_COUNT.labels(*names).set(row.deal_count)
        for names in self._shown - set(found):
            UNDISTRIBUTED_MINOR.remove(*names)
            UNDISTRIBUTED_COUNT.remove(*names)
        self._shown = set(found)


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
