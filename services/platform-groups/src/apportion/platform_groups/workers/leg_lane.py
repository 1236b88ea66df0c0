"""Books the legs of transfers of some shards: one balance operation after the other on each free connection."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.server_facts import NotSent, ServerFailure, ServerRefused
from apportion.platform_groups.domain.states import LegState
from apportion.platform_groups.domain.transfers import LegOutcome, SentLeg, obstacle, postponed, refused
from apportion.platform_groups.operations.claim_work import adopt_legs, take_legs
from apportion.platform_groups.operations.ports import NewId, TradingServerPort
from apportion.platform_groups.operations.save_leg_outcomes import save_leg_outcomes
from apportion.platform_groups.workers.held_shards import HeldShards
from apportion.platform_groups.workers.lane import SendingLane
from apportion.platform_groups.workers.server_clock import ServerClock
from apportion.runtime import Clock
from apportion.storage.leases import Lease

log = structlog.get_logger()

BATCH = 32


class LegLane(SendingLane):
    """`server` lends its connections: as many legs are booked side by side as it has free ones."""

    def __init__(
        self,
        engine: AsyncEngine,
        server: TradingServerPort,
        shards: HeldShards,
        server_clock: ServerClock,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        super().__init__(engine, shards, server_clock, clock, new_id)
        self._server = server
        self._unsaved: list[LegOutcome] = []
        """Answers that a failing database has not taken yet: they outlive a restart of the loop."""

    async def _save(self) -> None:
        if self._unsaved:
            await save_leg_outcomes(self._engine, self._new_id, self._unsaved, now=self._clock.now())
            self._unsaved.clear()

    async def _adopt(self, lease: Lease) -> None:
        await adopt_legs(self._engine, self._shards.server_id, lease, now=self._clock.now())

    async def _work(self) -> None:
        while True:
            self._bell.clear()
            async with self._turn:
                taken = await self._take()
                await self._book_all(taken)
            await self._save()
            if len(taken) < BATCH:
                await self._rest()

    async def _take(self) -> list[SentLeg]:
        leases = self._shards.leases()
        server_time_ms = await self._server_time_ms() if leases else None
        if server_time_ms is None:
            return []
        return await take_legs(
            self._engine,
            self._shards.server_id,
            leases,
            limit=BATCH,
            server_time_ms=server_time_ms,
            now=self._clock.now(),
        )

    async def _book_all(self, legs: list[SentLeg]) -> None:
        """Side by side, but what an account pays one after the other: the older debt is paid first. Behind one that
        did not end, for the server is silent or busy, the rest of the account's turn is put off.

        Raises what one raised unexpectedly, but only when all have ended: a restart adopts what is SENDING, and none
        of it may reach the wire any more."""
        turns: dict[tuple[int, int], list[SentLeg]] = {}
        for leg in legs:
            turns.setdefault((leg.account_id, 0 if leg.amount_minor < 0 else leg.leg_id), []).append(leg)
        ended = await asyncio.gather(*(self._book_in_turn(turn) for turn in turns.values()), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error

    async def _book_in_turn(self, legs: list[SentLeg]) -> None:
        for number, leg in enumerate(legs, start=1):
            outcome = await self._book(leg)
            self._unsaved.append(outcome)
            if not outcome.state.is_final:
                for other in legs[number:]:
                    later = postponed(other, "NOT_SENT")
                    wait_seconds = max(later.retry_seconds, outcome.retry_seconds)
                    self._unsaved.append(replace(later, retry_seconds=wait_seconds))
                return

    async def _book(self, leg: SentLeg) -> LegOutcome:
        if stopped := obstacle(leg):
            return stopped
        try:
            # The wait for a connection may outlive the lease: it is looked at right before the write.
            ticket = await self._server.book_leg(leg, partial(self._shards.is_held, leg.shard, leg.epoch))
        except ServerRefused as error:
            return refused(leg, error.reason, temporary=error.temporary)
        except NotSent:
            return postponed(leg, "NOT_SENT")
        except ServerFailure as error:
            log.warning("leg_answer_lost", leg_id=leg.leg_id, cause=str(error))
            return LegOutcome(leg.leg_id, leg.epoch, leg.attempt_count, LegState.UNKNOWN, "ANSWER_LOST")
        return LegOutcome(leg.leg_id, leg.epoch, leg.attempt_count, LegState.DONE, deal_ticket=ticket)
