"""Read one allocation, with a page of its columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.allocations import Allocation, AllocationColumns
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.allocation.storage.allocations import load_allocation, load_columns
from apportion.allocation.storage.child_trades import load_routes
from apportion.allocation.storage.subscription_sets import load_set
from apportion.money import Int64Array
from apportion.storage import transaction


@dataclass(frozen=True, slots=True)
class ChildPage:
    """Columns of one length in login order; volumes are magnitudes."""

    subscription_ids: Int64Array
    account_ids: Int64Array
    volumes_e8: Int64Array
    reasons: NDArray[np.int8]


async def get_allocation(
    engine: AsyncEngine, label: int, allocation_id: int, *, first: int, limit: int
) -> tuple[Allocation, ChildPage | None]:
    """The allocation and at most `limit` children from an index on (limit 0: none). Raises NotFound."""
    async with transaction(engine) as tx:
        allocation = await load_allocation(tx, label, allocation_id)
        return allocation, await _children(tx, allocation, slice(first, first + limit)) if limit else None


async def _children(tx: AsyncConnection, allocation: Allocation, rows: slice) -> ChildPage:
    columns = await load_columns(tx, allocation.allocation_id)
    if columns.names_children:
        routes = await load_routes(tx, columns.child_trade_ids[rows])
        return ChildPage(routes.subscription_ids, routes.account_ids, columns.volumes_e8[rows], columns.reasons[rows])
    subscriptions = await load_set(tx, allocation.master_id, allocation.set_version)
    if subscriptions is None:
        raise LookupError(f"allocation {allocation.allocation_id} has lost its subscription set")
    return page_of_set(subscriptions, columns, rows)


def page_of_set(subscriptions: SubscriptionSet, columns: AllocationColumns, rows: slice) -> ChildPage:
    """Children of a first open: places in its subscription set."""
    return ChildPage(
        subscriptions.subscription_ids[rows],
        subscriptions.account_ids[rows],
        columns.volumes_e8[rows],
        columns.reasons[rows],
    )
