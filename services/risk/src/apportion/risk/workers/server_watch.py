"""Watches one trading server: each snapshot of its accounts is judged as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.events import Redis, WeatherCell
from apportion.events.weather import accounts_key, ticks_key
from apportion.risk.domain.limits import Alarm, server_day_of
from apportion.risk.domain.snapshots import Snapshot
from apportion.risk.domain.watch import Doubts, Watch
from apportion.risk.operations.evaluate_snapshot import Look, evaluate_snapshot
from apportion.risk.operations.ports import AccountStatesSource
from apportion.risk.storage.limits import limits_digest, load_limits_of_server
from apportion.risk.storage.trips import wake_closed_trips
from apportion.risk.wire import trip_changed_payload
from apportion.risk.workers import metrics
from apportion.risk.workers.price_feed import PriceFeed
from apportion.risk.workers.states_feed import StatesFeed
from apportion.runtime import Clock
from apportion.storage import transaction
from apportion.storage.leases import Lease

log = structlog.get_logger()

PENDING_PAUSE_SECONDS = 0.05
MS = 1_000


@dataclass(frozen=True, slots=True)
class WatchWork:
    """What the watches of all servers share.

    Account states are heard from `redis`, and asked of `asked` after `fallback_seconds` of silence. Older than
    `stale_seconds`, or with prices older than `prices_stale_ms` by the server's clock, they trip nothing by themselves.
    Limits are read again each `reload_seconds`. Deals and snapshots that are `settle_ms` apart, by our clock, may reach
    us in either order. `server_days` tells the closer the newest day seen of each server.
    """

    engine: AsyncEngine
    redis: Redis
    asked: AccountStatesSource
    clock: Clock
    doubts: Doubts
    fallback_seconds: float
    stale_seconds: float
    prices_stale_ms: int
    settle_ms: int
    reload_seconds: float
    server_days: dict[int, int]
    wake_closer: Callable[[], None]


class ServerWatch:
    """Runs while the lease of the server's shard is held; every write checks it."""

    def __init__(self, work: WatchWork, label: int, trading_server_id: int, lease: Lease) -> None:
        self._work = work
        self._server = trading_server_id
        self._lease = lease
        self._states = StatesFeed(
            WeatherCell(work.redis, accounts_key(trading_server_id)),
            work.asked,
            label=label,
            trading_server_id=trading_server_id,
            clock=work.clock,
            fallback_seconds=work.fallback_seconds,
        )
        self._prices = PriceFeed(
            WeatherCell(work.redis, ticks_key(trading_server_id)),
            trading_server_id=trading_server_id,
            apart_seconds=work.stale_seconds,
        )
        self._watch = Watch([])
        self._digest = (0, 0)
        self._reload_at_ms = 0
        self._snapshot: Snapshot | None = None
        self._observed_time = work.clock.now()
        self._is_stale = False
        self._speed = 1

    async def run(self) -> None:
        """For ever."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._states.run(), name=f"states_{self._server}")
                group.create_task(self._prices.run(), name=f"prices_{self._server}")
                group.create_task(self._judge_for_ever(), name=f"judge_{self._server}")
        finally:
            metrics.forget(self._server)

    async def _judge_for_ever(self) -> None:
        again = False
        while True:
            is_new = await self._next_snapshot(0 if again else self._pause_seconds())
            self._tell_age()
            is_reloaded = await self._reload_if_changed()
            if is_new:
                await self._begin_day()
            if self._snapshot is not None and (is_new or is_reloaded or again or self._watch.is_pending()):
                again = await self._judge(self._snapshot)

    def _pause_seconds(self) -> float:
        return PENDING_PAUSE_SECONDS if self._watch.is_pending() else self._work.reload_seconds

    async def _next_snapshot(self, pause_seconds: float) -> bool:
        """Whether a newer one came within the pause."""
        before = self._snapshot
        try:
            async with asyncio.timeout(pause_seconds):
                snapshot = await self._states.newer(-1 if before is None else before.version)
        except TimeoutError:
            return False
        if before is not None:
            self._speed = server_speed(before, snapshot)
        self._snapshot, self._observed_time = snapshot, snapshot.observed_time
        return True

    def _tell_age(self) -> None:
        """Also while nothing comes: a limit that cannot be judged must not look quiet."""
        age_seconds = (self._work.clock.now() - self._observed_time).total_seconds()
        metrics.STATES_AGE.labels(self._server).set(age_seconds)
        was_stale, self._is_stale = self._is_stale, age_seconds > self._work.stale_seconds
        if self._is_stale and not was_stale:
            log.error("account_states_stale", trading_server_id=self._server, age_seconds=round(age_seconds, 3))
        elif was_stale and not self._is_stale:
            log.info("account_states_fresh", trading_server_id=self._server)

    async def _reload_if_changed(self) -> bool:
        now_ms = self._now_ms()
        if now_ms < self._reload_at_ms:
            return False
        self._reload_at_ms = now_ms + int(self._work.reload_seconds * MS)
        async with transaction(self._work.engine) as tx:
            digest = await limits_digest(tx, self._server)
            if digest == self._digest:
                return False
            limits = await load_limits_of_server(tx, self._server)
        before, self._watch, self._digest = self._watch, Watch(limits), digest
        self._watch.remember(before)
        return True

    async def _begin_day(self) -> None:
        if self._snapshot is None:
            return
        server_day = server_day_of(self._snapshot.server_time_ms)
        if self._work.server_days.get(self._server) == server_day:
            return
        async with transaction(self._work.engine) as tx:
            await wake_closed_trips(tx, self._server, server_day, self._work.clock.now())
        self._work.server_days[self._server] = server_day  # not before: a failure has to be repeated
        self._work.wake_closer()

    async def _judge(self, snapshot: Snapshot) -> bool:
        """Whether the same snapshot has to be judged again, because limits changed in the database."""
        look = Look(
            snapshot=snapshot,
            prices=partial(self._prices.prices_at, snapshot.observed_time),
            settle_ms=self._work.settle_ms * self._speed,
            doubt=self._doubt(snapshot),
            now=self._work.clock.now(),
            now_ms=self._now_ms(),
        )
        if not self._watch.limits:
            return False
        outcome = await evaluate_snapshot(
            self._work.engine, self._lease, self._watch, look, self._work.doubts, trip_changed_payload
        )
        metrics.ALARMS.labels(self._server).set(sum(alarm is not Alarm.NONE for alarm in self._watch.alarms))
        if outcome.trips:
            self._work.wake_closer()
            metrics.TRIPS.inc(len(outcome.trips))
            metrics.DECISION_SECONDS.observe((self._work.clock.now() - snapshot.observed_time).total_seconds())
        if outcome.is_changed:
            self._reload_at_ms = 0
        return outcome.is_changed

    def _doubt(self, snapshot: Snapshot) -> Alarm:
        """Account states may be fresh while the prices they are computed from stand still."""
        if self._is_stale:
            return Alarm.STATE_STALE
        lag_ms = self._prices.lag_ms(snapshot)
        metrics.PRICES_LAG.labels(self._server).set(lag_ms / MS)
        return Alarm.PRICE_SUSPECT if lag_ms > self._work.prices_stale_ms * self._speed else Alarm.NONE

    def _now_ms(self) -> int:
        return int(self._work.clock.monotonic() * MS)


def server_speed(before: Snapshot, after: Snapshot) -> int:
    """How many times faster than ours the server's clock runs, at least 1: a simulated server may be played fast."""
    ours_ms = (after.observed_time - before.observed_time).total_seconds() * MS
    theirs_ms = after.server_time_ms - before.server_time_ms
    return max(1, -int(-theirs_ms // ours_ms)) if ours_ms > 0 else 1
