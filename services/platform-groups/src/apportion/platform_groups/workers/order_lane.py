"""Sends the orders of some shards over one connection, and saves their answers as they come."""

from __future__ import annotations

from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.orders import (
    NOT_AFTER_PASSED,
    Answer,
    AnswerKind,
    OrderOutcome,
    SentOrder,
    bound_to_net,
    settle,
)
from apportion.platform_groups.domain.server_facts import ServerFailure
from apportion.platform_groups.operations.claim_work import adopt_orders, take_orders
from apportion.platform_groups.operations.ports import DealerSession, NewId
from apportion.platform_groups.operations.save_order_outcomes import save_order_outcomes
from apportion.platform_groups.workers.brakes import Brakes
from apportion.platform_groups.workers.held_shards import HeldShards
from apportion.platform_groups.workers.lane import LOOK_SECONDS, SendingLane
from apportion.platform_groups.workers.market import Market
from apportion.platform_groups.workers.server_clock import ServerClock
from apportion.runtime import Clock
from apportion.storage.leases import Lease

BATCH = 32
"""Orders marked and sent before answers are read again."""
OUTSTANDING = 120
"""A connection holds at most 128 unanswered requests."""
KEPT_FOR_CLOSES = 24
"""Of these: a server that is slow to answer opens still takes closes."""
FIRST_COLLECT_SECONDS = 0.003
LONGEST_COLLECT_SECONDS = 0.3
STOPPED = "STOPPED"
"""Why an open was not sent after all: the next look at the table ends it, and says by what."""


class OrderLane(SendingLane):
    """The orders of an account go over one connection, in order."""

    def __init__(
        self,
        engine: AsyncEngine,
        session: DealerSession,
        shards: HeldShards,
        server_clock: ServerClock,
        clock: Clock,
        new_id: NewId,
        *,
        price_age_seconds: float,
    ) -> None:
        super().__init__(engine, shards, server_clock, clock, new_id)
        self._session = session
        self._price_age_seconds = price_age_seconds
        self._unsaved: list[OrderOutcome] = []
        """Answers that a failing database has not taken yet: they outlive a restart of the loop."""

    async def _save(self) -> None:
        if self._unsaved:
            await save_order_outcomes(self._engine, self._new_id, self._unsaved, now=self._clock.now())
            self._unsaved.clear()

    async def _adopt(self, lease: Lease) -> None:
        await adopt_orders(self._engine, self._new_id, self._shards.server_id, lease, now=self._clock.now())

    async def _work(self) -> None:
        delay = FIRST_COLLECT_SECONDS
        look_at = 0.0
        while True:
            async with self._turn:
                taken: list[SentOrder] = []
                taken_at = self._clock.monotonic()
                if self._bell.is_set() or self._clock.monotonic() >= look_at:
                    self._bell.clear()
                    look_at = self._clock.monotonic() + LOOK_SECONDS
                    taken = await self._take()
                self._unsaved += await self._send(taken, Brakes(self._engine, self._clock, taken, taken_at=taken_at))
            self._unsaved += [settle(order, answer) for order, answer in await self._session.collect()]
            ended = len(self._unsaved)
            await self._save()
            if len(taken) == BATCH:
                self._bell.set()
            delay = FIRST_COLLECT_SECONDS if taken or ended else min(delay * 1.5, LONGEST_COLLECT_SECONDS)
            await self._rest(delay if self._session.outstanding_count else LOOK_SECONDS)

    async def _take(self) -> list[SentOrder]:
        leases = self._shards.leases()
        room = OUTSTANDING - self._session.outstanding_count
        closes_only = room <= KEPT_FOR_CLOSES
        server_time_ms = await self._server_time_ms() if leases and room > 0 else None
        if server_time_ms is None:
            return []
        return await take_orders(
            self._engine,
            self._new_id,
            self._shards.server_id,
            leases,
            limit=min(BATCH, room if closes_only else room - KEPT_FOR_CLOSES),
            closes_only=closes_only,
            server_time_ms=server_time_ms,
            now=self._clock.now(),
        )

    async def _send(self, orders: list[SentOrder], brakes: Brakes) -> list[OrderOutcome]:
        """Outcomes of those that ended at once. Lease and time limit are looked at right before each write."""
        ended = []
        market = Market(
            self._session,
            self._server_clock,
            self._clock,
            {order.symbol for order in orders if order.reference_price_e8},
            price_age_seconds=self._price_age_seconds,
        )
        for order in orders:
            answer = await self._send_one(order, market, brakes)
            if answer is not None:
                ended.append(settle(order, answer))
        return ended

    async def _send_one(self, order: SentOrder, market: Market, brakes: Brakes) -> Answer | None:
        if reason := self._obstacle(order):
            return Answer(AnswerKind.NOT_TAKEN, reason)
        if reason := await market.refusal(order):
            return Answer(AnswerKind.REFUSED, reason)
        if await brakes.hold(order):
            return Answer(AnswerKind.NOT_TAKEN, STOPPED)
        if order.reduces:
            try:
                held = await self._session.positions(order.login)
            except ServerFailure as error:
                return Answer(AnswerKind.NOT_TAKEN, type(error).__name__.upper())
            bound = bound_to_net(order, held)
            if isinstance(bound, Answer):
                return bound
            order = bound
        return await self._session.send(order, partial(self._may_send, order, market, brakes))

    def _may_send(self, order: SentOrder, market: Market, brakes: Brakes) -> bool:
        is_late = brakes.is_old(order) or (order.reference_price_e8 and market.is_old)
        return not is_late and not self._obstacle(order)

    def _obstacle(self, order: SentOrder) -> str:
        """Why the order must not go out now; "" when it may."""
        if not self._shards.is_held(order.shard, order.epoch):
            return "LEASE_LOST"
        if order.not_after_time is not None and self._clock.now() > order.not_after_time:
            return NOT_AFTER_PASSED
        return ""
