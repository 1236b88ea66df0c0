"""Compare the books with what a trading server shows, without waiting for an event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.positions import OrphanPolicy, PositionReport
from apportion.allocation.errors import PositionsTooMany
from apportion.allocation.operations.ports import Positions
from apportion.allocation.storage.deviations import (
    adopt_orphans,
    compare_positions,
    forget_unwatched,
    list_watched_accounts,
)
from apportion.allocation.storage.missed_facts import (
    list_differing_positions,
    list_master_accounts,
    list_unanswered,
)
from apportion.storage import transaction
from apportion.storage.leases import Lease, check_fence

log = structlog.get_logger()

BATCH_ACCOUNTS = 2_000
MOST_UNANSWERED = 100
"""Decisions in one pass."""
ANSWER_SECONDS = 30.0
BATCH_POSITIONS = 8_000
"""By the books. An answer of platform-groups holds some 13 000, and there are positions that the books do not know."""


@dataclass(frozen=True, slots=True)
class Reconciling:
    """By what rules positions are compared."""

    confirm_seconds: float
    """Between the two reports that must agree before a deviation counts."""
    orphans: OrphanPolicy
    answer_seconds: float = ANSWER_SECONDS
    """After this an order that was handed over has a result, unless its server is slow: asking costs what an event
    does."""


@dataclass(frozen=True, slots=True)
class Missed:
    """Positions whose deals seem not to have been read: columns of one length."""

    account_ids: Sequence[int]
    position_tickets: Sequence[int]
    since_time: datetime | None = None
    """Deals that were observed earlier concern nobody; None: all do."""


@dataclass(slots=True)
class Pass:
    """What one look at a trading server found."""

    account_count: int = 0
    deviation_count: int = 0
    unconfirmed_count: int = 0
    adopted_count: int = 0
    """Orphans that the books have now, to be closed as everything that is too much."""
    missed: list[Missed] = field(default_factory=list)
    unanswered: list[int] = field(default_factory=list)
    """Decisions of which opening orders have no result though they were handed over long ago."""

    @property
    def wants_second_look(self) -> bool:
        return self.unconfirmed_count > 0


@dataclass(frozen=True, slots=True)
class _Look:
    """At one trading server."""

    engine: AsyncEngine
    positions: Positions
    label: int
    trading_server_id: int
    rules: Reconciling
    lease: Lease
    now: datetime
    done: Pass = field(default_factory=Pass)

    async def report(self, account_ids: list[int]) -> PositionReport | None:
        """A report of these accounts; one that has too many positions is taken out of the list. None: none is left."""
        while account_ids:
            try:
                return await self.positions.report(self.label, account_ids)
            except PositionsTooMany as error:
                log.warning("account_not_compared", account_id=error.metadata["accountId"], reason=error.reason)
                account_ids.remove(int(error.metadata["accountId"]))
        return None

    async def compare_masters(self) -> None:
        """Where a position of a master differs from the books, deals of it were missed here, or are being read: they
        are asked for. Each deal is followed once, so asking too often does no harm.
        """
        after = 0
        while True:
            async with transaction(self.engine) as tx:
                masters = await list_master_accounts(
                    tx, self.label, self.trading_server_id, after=after, limit=BATCH_ACCOUNTS
                )
            if not masters:
                return
            after = max(masters)
            report = await self.report(list(masters))
            if report is not None:
                async with transaction(self.engine) as tx:
                    differing = await list_differing_positions(tx, self.label, list(masters), report)
                self.done.missed += [
                    Missed([account_id] * len(tickets), tickets, masters[account_id])
                    for account_id, tickets in differing.items()
                ]

    async def compare_followers(self) -> None:
        after = 0
        while True:
            async with transaction(self.engine) as tx:
                account_ids = await list_watched_accounts(
                    tx,
                    self.label,
                    self.trading_server_id,
                    after=after,
                    most_accounts=BATCH_ACCOUNTS,
                    most_positions=BATCH_POSITIONS,
                )
            if not account_ids:
                return
            after = account_ids[-1]
            report = await self.report(account_ids)
            if report is not None:
                await self._compare(account_ids, report)

    async def _compare(self, account_ids: Sequence[int], report: PositionReport) -> None:
        done = self.done
        async with transaction(self.engine) as tx:
            await check_fence(tx, self.lease)
            compared = await compare_positions(
                tx,
                self.label,
                self.trading_server_id,
                account_ids,
                report,
                confirm_seconds=self.rules.confirm_seconds,
                now=self.now,
            )
            if compared.suspect_account_ids and self.rules.orphans is OrphanPolicy.CLOSE:
                done.adopted_count += await adopt_orphans(tx, self.label, compared.suspect_account_ids)
        if compared.newly_left_account_ids:
            log.warning("accounts_left", account_ids=compared.newly_left_account_ids[:10])
        done.account_count += len(account_ids) - len(report.left_account_ids)
        done.deviation_count += compared.deviation_count
        done.unconfirmed_count += compared.unconfirmed_count
        if compared.missing:
            account_ids, position_tickets = zip(*compared.missing, strict=True)
            done.missed.append(Missed(account_ids, position_tickets))


async def reconcile_positions(
    engine: AsyncEngine,
    positions: Positions,
    label: int,
    trading_server_id: int,
    rules: Reconciling,
    *,
    lease: Lease,
    now: datetime,
) -> Pass:
    """One look at all masters of a server and all accounts that have children or subscriptions, in batches.

    It opens nothing, and takes nothing but orphans into the books. Raises the DomainError of
    platform-groups when it cannot show a complete report, and StaleEpoch; what was compared before stays.
    """
    look = _Look(engine, positions, label, trading_server_id, rules, lease, now)
    await look.compare_masters()
    await look.compare_followers()
    async with transaction(engine) as tx:
        await check_fence(tx, lease)
        await forget_unwatched(tx, label, trading_server_id)
        before = now - timedelta(seconds=rules.answer_seconds)
        look.done.unanswered = await list_unanswered(tx, label, trading_server_id, before=before, limit=MOST_UNANSWERED)
    return look.done
