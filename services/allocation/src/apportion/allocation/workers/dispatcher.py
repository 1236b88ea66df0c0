"""Hands decisions over to platform-groups."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import timedelta
from types import MappingProxyType

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation, DispatchState
from apportion.allocation.domain.child_orders import ChildOrders
from apportion.allocation.domain.retries import Retries
from apportion.allocation.operations.dispatch_allocation import dispatch_allocation
from apportion.allocation.operations.ports import Orders
from apportion.allocation.storage.allocations import list_undispatched
from apportion.errors import DomainError
from apportion.runtime import Clock
from apportion.storage import transaction

log = structlog.get_logger()

CONCURRENT_DISPATCHES = 8
UNDISPATCHED_BATCH = 100
NOTHING: Mapping[int, ChildOrders] = MappingProxyType({})


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
        """Begin to send decisions that were just committed; `at_hand` has by allocation orders still in memory."""
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
