"""Read whole selections of lists page by page, for exports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation, AllocationFilter
from apportion.allocation.domain.child_listing import ChildTradeFilter, ChildTradeRow
from apportion.allocation.domain.child_trades import MAX_CHILDREN
from apportion.allocation.domain.deal_money import DealMoney
from apportion.allocation.domain.distributions import Distribution, DistributionFilter
from apportion.allocation.domain.fairness_totals import Span
from apportion.allocation.domain.history import HistoryFilter, HistoryRow
from apportion.allocation.domain.master_trades import MasterTradeFilter, MasterTradeRow
from apportion.allocation.domain.payouts import Payout, UnpaidSum
from apportion.allocation.domain.pl_mode import E9
from apportion.allocation.domain.reasons import SkippedChild, SkipReason
from apportion.allocation.operations.find_scope import Owner
from apportion.allocation.operations.get_allocation import get_allocation
from apportion.allocation.operations.list_allocations import list_allocations
from apportion.allocation.operations.list_child_trades import list_child_trades
from apportion.allocation.operations.list_distributions import list_distributions
from apportion.allocation.operations.list_history import list_history
from apportion.allocation.operations.list_master_trades import list_master_trades
from apportion.allocation.storage.account_deals import AFTER_ALL
from apportion.allocation.storage.child_listing import FIRST
from apportion.allocation.storage.distributions import load_distribution
from apportion.allocation.storage.payouts import load_payouts
from apportion.errors import InvalidArgument, Violation
from apportion.money import INT64_MAX, Rounding, mul_div
from apportion.storage import transaction

MAX_ROWS = 1_000_000
"""Less than an Excel sheet holds."""
PAGE_ROWS = 1_000

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class DecisionLine:
    """A decision, or one of those whom it left out or cut."""

    allocation: Allocation
    skipped: SkippedChild | None = None

    @property
    def volume_e8(self) -> int:
        return self.skipped.volume_e8 if self.skipped else self.allocation.volume_sum_e8


@dataclass(frozen=True, slots=True)
class ProfitShare:
    """One investor's share of a distribution."""

    subscription_id: int
    account_login: int
    proportion_e9: int
    """Rounded half up where several openings made the position."""
    money: DealMoney
    payout: Payout | None
    """None: nothing is to be booked."""


@dataclass(frozen=True, slots=True)
class DistributionLine:
    """A distribution, or one of its shares."""

    distribution: Distribution
    unpaid: UnpaidSum
    share: ProfitShare | None = None

    @property
    def money(self) -> DealMoney:
        return (self.share or self.distribution).money

    @property
    def distributed_minor(self) -> int:
        return self.share.money.total_minor if self.share else self.distribution.distributed_minor


def collect_history(engine: AsyncEngine, label: int, owner: Owner, wanted: HistoryFilter) -> AsyncIterator[HistoryRow]:
    """Newest first. Raises NotFound."""

    async def page(last: HistoryRow | None) -> list[HistoryRow]:
        before = AFTER_ALL if last is None else (last.server_time_ms, last.deal_ticket)
        return await list_history(engine, label, owner, wanted, before=before, limit=PAGE_ROWS)

    return _all(page)


def collect_children(engine: AsyncEngine, label: int, wanted: ChildTradeFilter) -> AsyncIterator[ChildTradeRow]:
    """In the order of the list."""

    async def page(last: ChildTradeRow | None) -> list[ChildTradeRow]:
        behind = FIRST if last is None else last.place
        return await list_child_trades(engine, label, wanted, behind=behind, limit=PAGE_ROWS)

    return _all(page)


def collect_master_trades(
    engine: AsyncEngine, label: int, wanted: MasterTradeFilter, span: Span
) -> AsyncIterator[MasterTradeRow]:
    """Those opened in a span, newest first."""

    async def page(before: int) -> list[MasterTradeRow]:
        return await list_master_trades(engine, label, wanted, before=before, limit=PAGE_ROWS)

    return _newest(page, lambda row: row.first_allocation_id, lambda row: row.open_time, span)


async def collect_allocations(
    engine: AsyncEngine, label: int, wanted: AllocationFilter, span: Span
) -> AsyncIterator[DecisionLine]:
    """Decisions made in a span, newest first, below each those whom it left out or cut."""

    async def page(before: int) -> list[Allocation]:
        return await list_allocations(engine, label, wanted, before=before, limit=PAGE_ROWS)

    async for allocation in _newest(page, lambda row: row.allocation_id, lambda row: row.decide_time, span):
        yield DecisionLine(allocation)
        for child in await _skipped(engine, allocation):
            yield DecisionLine(allocation, child)


async def collect_distributions(
    engine: AsyncEngine, label: int, wanted: DistributionFilter, span: Span
) -> AsyncIterator[DistributionLine]:
    """Distributions made in a span, newest first, below each its shares in login order."""

    async def page(before: int) -> list[tuple[Distribution, UnpaidSum]]:
        return await list_distributions(engine, label, wanted, before=before, limit=PAGE_ROWS)

    found = _newest(page, lambda row: row[0].allocation_id, lambda row: row[0].distribute_time, span)
    async for distribution, unpaid in found:
        yield DistributionLine(distribution, unpaid)
        for share in await _shares(engine, distribution):
            yield DistributionLine(distribution, unpaid, share)


async def at_most_max_rows(rows: AsyncIterator[Row]) -> AsyncIterator[Row]:
    """All of them. Raises InvalidArgument for more than `MAX_ROWS`."""
    count = 0
    async for row in rows:
        count += 1
        if count > MAX_ROWS:
            raise InvalidArgument(violations=[Violation("to", f"must leave at most {MAX_ROWS} rows: take less")])
        yield row


async def _skipped(engine: AsyncEngine, allocation: Allocation) -> list[SkippedChild]:
    _, page = await get_allocation(
        engine, allocation.label, allocation.allocation_id, first=0, limit=MAX_CHILDREN, only_skipped=True
    )
    if page is None:
        return []
    return [
        SkippedChild(subscription_id, login, volume_e8, SkipReason(reason))
        for subscription_id, login, volume_e8, reason in zip(
            page.routes.subscription_ids.tolist(),
            page.routes.logins.tolist(),
            (page.routes.directions * page.volumes_e8).tolist(),
            page.reasons.tolist(),
            strict=True,
        )
    ]


async def _shares(engine: AsyncEngine, distribution: Distribution) -> list[ProfitShare]:
    label, allocation_id = distribution.label, distribution.allocation_id
    async with transaction(engine) as tx:
        _, columns = await load_distribution(tx, label, allocation_id)
        holders, shares = columns.holders, columns.shares
        payouts = await load_payouts(tx, label, allocation_id, holders.subscription_ids)
    return [
        ProfitShare(
            subscription_id,
            login,
            mul_div(proportion, E9, holders.whole, Rounding.HALF_UP),
            DealMoney(profit_minor, swap_minor, commission_minor),
            payouts.get(subscription_id),
        )
        for subscription_id, login, proportion, profit_minor, swap_minor, commission_minor in zip(
            holders.subscription_ids.tolist(),
            holders.logins.tolist(),
            holders.proportions.tolist(),
            shares.profits_minor.tolist(),
            shares.swaps_minor.tolist(),
            shares.commissions_minor.tolist(),
            strict=True,
        )
    ]


async def _newest(
    load: Callable[[int], Awaitable[list[Row]]],
    id_of: Callable[[Row], int],
    time_of: Callable[[Row], datetime],
    span: Span,
) -> AsyncIterator[Row]:
    """Rows of a span of a list that is sorted by ids, newest first; `load` gives those before an id."""

    async def page(last: Row | None) -> list[Row]:
        if last is not None and time_of(last) < span.start_time:
            return []
        return await load(INT64_MAX if last is None else id_of(last))

    async for row in _all(page):
        if span.start_time <= time_of(row) < span.end_time:
            yield row


async def _all(page: Callable[[Row | None], Awaitable[list[Row]]]) -> AsyncIterator[Row]:
    """Page after page, each behind the last row of the one before."""
    last = None
    while found := await page(last):
        for row in found:
            yield row
        if len(found) < PAGE_ROWS:
            return
        last = found[-1]
