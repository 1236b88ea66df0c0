"""Brings the accesses that were asked for to the server: the one hand that writes rights, account by account."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import DomainError
from apportion.platform_groups.domain.accounts import Account
from apportion.platform_groups.domain.server_facts import ServerFailure
from apportion.platform_groups.domain.shards import shard_of_key
from apportion.platform_groups.operations.apply_access import apply_access
from apportion.platform_groups.operations.ports import TradingServerPort
from apportion.platform_groups.storage.accounts import list_access_pending
from apportion.platform_groups.workers.held_shards import AllShards
from apportion.platform_groups.workers.lane import Lane
from apportion.runtime import Clock
from apportion.storage import transaction
from apportion.storage.leases import Lease

log = structlog.get_logger()

RETRY_SECONDS = 1.0
"""How long an account that failed, or that a lost write may still change, is left alone."""
BATCH = 8


class AccessLane(Lane):
    """Only the holder of an account's shard writes its rights, and one after the other: the newest wish always wins."""

    def __init__(
        self,
        engine: AsyncEngine,
        server: TradingServerPort,
        server_id: int,
        shards: AllShards,
        clock: Clock,
        *,
        answer_timeout: timedelta,
    ) -> None:
        super().__init__()
        self._engine = engine
        self._server = server
        self._server_id = server_id
        self._shards = shards
        self._clock = clock
        self._answer_timeout = answer_timeout
        self._left_at: dict[int, float] = {}

    async def run(self) -> None:
        while True:
            self._bell.clear()
            async with self._turn:
                count = await self._round()
            if count < BATCH:
                await self._rest()

    async def _round(self) -> int:
        leases = {shard_of_key(lease.key): lease for lease in self._shards.leases()}
        if not leases:
            return 0
        now = self._clock.monotonic()
        self._left_at = {id_: at for id_, at in self._left_at.items() if now - at < RETRY_SECONDS}
        async with transaction(self._engine) as tx:
            waiting = await list_access_pending(
                tx, self._server_id, list(leases), except_ids=list(self._left_at), limit=BATCH
            )
        await asyncio.gather(*(self._apply(account, leases[account.shard]) for account in waiting))
        return len(waiting)

    async def _apply(self, account: Account, lease: Lease) -> None:
        try:
            is_proven = await apply_access(
                self._engine,
                self._server,
                account,
                lease,
                self._clock,
                permit=partial(self._shards.is_held, lease),
                answer_timeout=self._answer_timeout,
            )
        except (ServerFailure, DomainError) as error:
            is_proven = False
            log.warning("account_access_pending", account_id=account.account_id, cause=str(error))
        if not is_proven:
            self._left_at[account.account_id] = self._clock.monotonic()
