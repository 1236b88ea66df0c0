"""Reads deals in overlapping windows and stores what is new."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.server_facts import DAY_MS, HOUR_MS, ServerDeal
from apportion.platform_groups.domain.tokens import leg_of, order_of
from apportion.platform_groups.operations.observe_deals import observe_deals
from apportion.platform_groups.operations.ports import NewId, TradingServerPort
from apportion.platform_groups.storage.deals import ObservedDeal, newest_deal_time_ms, tickets_since
from apportion.platform_groups.workers.directory import Directory
from apportion.platform_groups.workers.owner_trades import show_owner_trades
from apportion.runtime import Clock
from apportion.storage import transaction
from apportion.storage.leases import Lease

OVERLAP_MS = 5_000
"""Deals this much older than the newest one are read again each time: seconds are the server's grain."""
DEEP_OVERLAP_MS = 120_000
"""Now and then this much: a deal may show up late."""
WIDE_OVERLAP_MS = HOUR_MS + DEEP_OVERLAP_MS
"""After a start, and while the server's clock is behind its newest deal, this much: it may have gone back."""
DEEP_EVERY_SECONDS = 10.0
DIRECTORY_SECONDS = 5.0
UNKNOWN_LOGIN_SECONDS = 0.2
BATCH = 2_000
"""Deals stored in one transaction: a long absence is caught up in parts."""


class DealPump:
    """Goes on where the stored deals end, so nothing is missed over a restart or a change of owner."""

    def __init__(
        self,
        engine: AsyncEngine,
        server: TradingServerPort,
        directory: Directory,
        lease: Lease,
        server_id: int,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        self._engine = engine
        self._server = server
        self._directory = directory
        self._lease = lease
        self._server_id = server_id
        self._clock = clock
        self._new_id = new_id
        self._newest_ms: int | None = None
        self._seen: dict[int, int] = {}
        self._deep_at = 0.0
        self._is_caught_up = False

    async def read(self) -> None:
        """One round. Raises ServerFailure; a StaleEpoch ends the pump, its successor goes on."""
        await self._directory.refresh(DIRECTORY_SECONDS)
        if self._newest_ms is None:
            self._newest_ms = await self._restore()
        if not self._directory.groups:
            return
        deep = self._clock.monotonic() >= self._deep_at
        server_time_ms = await self._server.server_time_ms()
        from_ms = self._window_start_ms(server_time_ms, deep=deep)
        deals = await self._server.deals_of_groups(self._directory.groups, from_ms, server_time_ms + DAY_MS)
        fresh = [deal for deal in deals if deal.deal_ticket not in self._seen]
        if any(deal.login not in self._directory.by_login for deal in fresh):
            await self._directory.refresh(UNKNOWN_LOGIN_SECONDS)
        await self._store([deal for deal in fresh if deal.login in self._directory.by_login], server_time_ms)
        self._newest_ms = max(self._newest_ms, *(deal.server_time_ms for deal in deals), 0)
        if deep:
            self._is_caught_up = True
            self._deep_at = self._clock.monotonic() + DEEP_EVERY_SECONDS
            # What no window shows again, as long as the server's clock goes on; shown again it is known to the table.
            self._seen = {ticket: time_ms for ticket, time_ms in self._seen.items() if time_ms >= from_ms}

    def _window_start_ms(self, server_time_ms: int, *, deep: bool) -> int:
        """Raw server time is civil time: when the server's summer ends, new deals are older than the newest one."""
        newest_ms = self._newest_ms or 0
        overlap_ms = OVERLAP_MS
        if deep:
            went_back = server_time_ms < newest_ms
            overlap_ms = WIDE_OVERLAP_MS if went_back or not self._is_caught_up else DEEP_OVERLAP_MS
        return max(min(newest_ms, server_time_ms) - overlap_ms, 0)

    async def _restore(self) -> int:
        async with transaction(self._engine) as tx:
            newest_ms = await newest_deal_time_ms(tx, self._server_id)
            self._seen = dict.fromkeys(await tickets_since(tx, self._server_id, newest_ms - WIDE_OVERLAP_MS), newest_ms)
        return newest_ms

    async def _store(self, deals: list[ServerDeal], server_time_ms: int) -> None:
        deals.sort(key=lambda deal: deal.deal_ticket)
        for start in range(0, len(deals), BATCH):
            part = deals[start : start + BATCH]
            observed = [self._observed(deal) for deal in part]
            await observe_deals(
                self._engine,
                self._new_id,
                self._lease,
                self._server_id,
                observed,
                server_time_ms=server_time_ms,
                now=self._clock.now(),
            )
            self._seen.update((deal.deal_ticket, deal.server_time_ms) for deal in part)
            await show_owner_trades(self._engine, self._server_id, observed)

    def _observed(self, deal: ServerDeal) -> ObservedDeal:
        known = self._directory.by_login[deal.login]
        comment = "" if deal.by_client else deal.comment
        return ObservedDeal(
            deal, known.label, known.account_id, known.kind, order_of(comment), leg_of(comment), known.nets
        )
