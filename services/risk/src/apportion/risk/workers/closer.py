"""Carries trips through, from the decision to the next day start."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from apportion.errors import DomainError
from apportion.risk.domain.trips import Trip
from apportion.risk.operations.advance_trip import TripWork, advance_trip
from apportion.risk.storage.trips import count_failing_trips, list_due_trips
from apportion.risk.workers import metrics
from apportion.risk.workers.shards import SHARDS, held_shards, shard_of
from apportion.storage import transaction
from apportion.storage.leases import Lease, LeaseKeeper

log = structlog.get_logger()

PAUSE_SECONDS = 0.2
BATCH_TRIPS = 200


class Closer:
    """Takes each due trip of the held shards a step further, all at the same time: a slow server holds up no other."""

    def __init__(self, work: TripWork, keeper: LeaseKeeper, server_days: Mapping[int, int]) -> None:
        self._work = work
        self._keeper = keeper
        self._server_days = server_days
        self._running: dict[int, asyncio.Task[None]] = {}
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """A trip was committed, took a step, or became due."""
        self._woken.set()

    async def run(self) -> None:
        """For ever; cancelled, it drops the steps at hand: each may be repeated."""
        try:
            while True:
                self._woken.clear()
                await self._start_due()
                try:
                    async with asyncio.timeout(PAUSE_SECONDS):
                        await self._woken.wait()
                except TimeoutError:
                    continue
        finally:
            for task in self._running.values():
                task.cancel()
            await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _start_due(self) -> None:
        held = held_shards(self._keeper)
        async with transaction(self._work.engine) as tx:
            due = await list_due_trips(tx, SHARDS, sorted(held), self._work.clock.now(), BATCH_TRIPS)
            metrics.FAILING.set(await count_failing_trips(tx, SHARDS, sorted(held)))
        for trip in due:
            if trip.trip_id not in self._running:
                lease = held[shard_of(trip.trading_server_id)]
                self._running[trip.trip_id] = asyncio.create_task(self._advance(trip, lease))

    async def _advance(self, trip: Trip, lease: Lease) -> None:
        try:
            after = await advance_trip(self._work, lease, trip, self._server_days.get(trip.trading_server_id))
            if after.state is not trip.state:
                self.wake()
        except DomainError as error:
            log.warning("trip_step_lost", trip_id=trip.trip_id, reason=error.reason)
        except Exception:
            log.exception("trip_step_broken", trip_id=trip.trip_id)
        finally:
            del self._running[trip.trip_id]
