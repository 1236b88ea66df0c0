"""What one trading server needs looked after: lost answers, half-made accounts, unknown margin modes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from datetime import timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError, StaleEpoch
from apportion.platform_groups.domain.server_facts import ServerFailure
from apportion.platform_groups.domain.shards import shard_of_key
from apportion.platform_groups.operations.finish_accounts import finish_creating
from apportion.platform_groups.operations.learn_margin_modes import learn_margin_modes
from apportion.platform_groups.operations.look_for_comments import look_for_comments
from apportion.platform_groups.operations.ports import NewId, NewPassword, TradingServersPort
from apportion.platform_groups.operations.resolve_unknown import resolve_legs, resolve_orders
from apportion.platform_groups.workers.held_shards import AllShards
from apportion.platform_groups.workers.server_clock import ServerClock
from apportion.runtime import Clock
from apportion.storage.leases import Lease

log = structlog.get_logger()

ROUND_SECONDS = 0.2
ACCOUNT_ROUND_SECONDS = 1.0
MARGIN_ROUND_SECONDS = 60.0


class Upkeep:
    """Works on the shards that this process holds; every step is safe to repeat and to do twice at once."""

    def __init__(
        self,
        engine: AsyncEngine,
        servers: TradingServersPort,
        server_id: int,
        shards: AllShards,
        server_clock: ServerClock,
        clock: Clock,
        new_id: NewId,
        new_password: NewPassword,
        *,
        answer_timeout: timedelta,
    ) -> None:
        self._engine = engine
        self._servers = servers
        self._server_id = server_id
        self._shards = shards
        self._server_clock = server_clock
        self._clock = clock
        self._new_id = new_id
        self._new_password = new_password
        self._timeout = answer_timeout
        self._accounts_at = 0.0
        self._margins_at = 0.0

    async def run(self) -> None:
        while True:
            leases = self._shards.leases()
            if leases:
                await self._round(leases)
            await asyncio.sleep(ROUND_SECONDS)

    async def _round(self, leases: list[Lease]) -> None:
        """Each step takes the time by itself: the steps before it may have been slow."""
        shards = [shard_of_key(lease.key) for lease in leases]
        await self._tried("clock", self._server_clock.refresh())
        try:
            server = await self._servers.get(self._server_id)
        except DomainError as error:
            log.warning("trading_server_unusable", trading_server_id=self._server_id, cause=str(error))
            return
        place = (self._engine, server, self._new_id, self._server_id, shards)
        await self._tried("orders", resolve_orders(*place, answer_timeout=self._timeout, now=self._clock.now()))
        await self._tried("legs", resolve_legs(*place, answer_timeout=self._timeout, now=self._clock.now()))
        if self._clock.monotonic() < self._accounts_at:
            return
        self._accounts_at = self._clock.monotonic() + ACCOUNT_ROUND_SECONDS
        if self._clock.monotonic() >= self._margins_at:
            self._margins_at = self._clock.monotonic() + MARGIN_ROUND_SECONDS
            await self._tried("margin_modes", learn_margin_modes(self._engine, server, self._server_id))
            await self._tried("comments", look_for_comments(self._engine, server, self._server_id))
        await self._tried(
            "accounts",
            finish_creating(
                self._engine,
                self._servers,
                self._new_password,
                self._server_id,
                leases,
                self._clock,
                is_held=self._shards.is_held,
                answer_timeout=self._timeout,
            ),
        )

    async def _tried(self, step: str, work: Awaitable[object]) -> None:
        """A server that does not answer, or a lease that has passed on, holds up its own step only."""
        try:
            await work
        except (ServerFailure, StaleEpoch) as error:
            log.warning("upkeep_step_failed", step=step, trading_server_id=self._server_id, cause=str(error))
