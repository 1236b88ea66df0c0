"""Read whole selections of lists page by page, for exports."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import TypeVar

import numpy as np
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation, AllocationFilter
from apportion.allocation.domain.child_listing import ChildTradeFilter, ChildTradeRow
from apportion.allocation.domain.child_trades import MAX_CHILDREN
from apportion.allocation.domain.history import HistoryFilter, HistoryRow
from apportion.allocation.domain.reasons import SkippedChild, SkipReason
from apportion.allocation.operations.find_scope import Owner
from apportion.allocation.operations.get_allocation import get_allocation
from apportion.allocation.operations.list_allocations import list_allocations
from apportion.allocation.operations.list_child_trades import list_child_trades
from apportion.allocation.operations.list_history import list_history
from apportion.allocation.storage.account_deals import AFTER_ALL
from apportion.allocation.storage.child_listing import FIRST
from apportion.errors import InvalidArgument, Violation
from apportion.money import INT64_MAX

MAX_ROWS = 1_000_000
"""Less than an Excel sheet holds."""
PAGE_ROWS = 1_000

Row = TypeVar("Row")


def collect_history(engine: AsyncEngine, label: int, owner: Owner, wanted: HistoryFilter) -> AsyncIterator[HistoryRow]:
    """Newest first. Raises NotFound, InvalidArgument for more than `MAX_ROWS`."""

    async def page(last: HistoryRow | None) -> list[HistoryRow]:
        before = AFTER_ALL if last is None else (last.server_time_ms, last.deal_ticket)
        return await list_history(engine, label, owner, wanted, before=before, limit=PAGE_ROWS)

    return _all(page)


def collect_children(engine: AsyncEngine, label: int, wanted: ChildTradeFilter) -> AsyncIterator[ChildTradeRow]:
    """In the order of the list. Raises InvalidArgument for more than `MAX_ROWS`."""

    async def page(last: ChildTradeRow | None) -> list[ChildTradeRow]:
        behind = FIRST if last is None else last.place
        return await list_child_trades(engine, label, wanted, behind=behind, limit=PAGE_ROWS)

    return _all(page)


async def collect_allocations(
    engine: AsyncEngine, label: int, master_id: int, *, start_time: datetime, end_time: datetime
) -> AsyncIterator[tuple[Allocation, list[SkippedChild]]]:
    """Decisions from the first instant on and before the second, newest first, with whom they left out or cut.

    Raises InvalidArgument for more than `MAX_ROWS`.
    """

    wanted = AllocationFilter(master_id=master_id, with_follow_ups=True)

    async def page(last: Allocation | None) -> list[Allocation]:
        if last is not None and last.decide_time < start_time:
            return []
        before = INT64_MAX if last is None else last.allocation_id
        return await list_allocations(engine, label, wanted, before=before, limit=PAGE_ROWS)

    count = 0
    async for allocation in _all(page):
        if start_time <= allocation.decide_time < end_time:
            skipped = await _skipped(engine, allocation)
            count += 1 + len(skipped)
            _check_count(count)
            yield allocation, skipped


async def _skipped(engine: AsyncEngine, allocation: Allocation) -> list[SkippedChild]:
    _, page = await get_allocation(engine, allocation.label, allocation.allocation_id, first=0, limit=MAX_CHILDREN)
    if page is None:
        return []
    rows = np.flatnonzero(page.reasons)
    return [
        SkippedChild(subscription_id, login, volume_e8, SkipReason(reason))
        for subscription_id, login, volume_e8, reason in zip(
            page.routes.subscription_ids[rows].tolist(),
            page.routes.logins[rows].tolist(),
            (page.routes.directions[rows] * page.volumes_e8[rows]).tolist(),
            page.reasons[rows].tolist(),
            strict=True,
        )
    ]


async def _all(page: Callable[[Row | None], Awaitable[list[Row]]]) -> AsyncIterator[Row]:
    """Page after page, each behind the last row of the one before."""
    count, last = 0, None
    while found := await page(last):
        for row in found:
            count += 1
            _check_count(count)
            yield row
        if len(found) < PAGE_ROWS:
            return
        last = found[-1]


def _check_count(count: int) -> None:
    if count > MAX_ROWS:
        raise InvalidArgument(violations=[Violation("to", f"must leave at most {MAX_ROWS} rows: take less")])
