"""Read one allocation, with a page of its columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.allocations import Allocation, AllocationColumns, AllocationKind
from apportion.allocation.domain.child_routes import ChildRoutes
from apportion.allocation.storage.allocations import load_allocation, load_columns
from apportion.allocation.storage.child_trades import load_routes
from apportion.allocation.storage.subscription_sets import load_set_routes
from apportion.money import Int64Array
from apportion.storage import transaction


@dataclass(frozen=True, slots=True)
class ChildPage:
    """Columns of one length in login order; volumes are magnitudes."""

    routes: ChildRoutes
    volumes_e8: Int64Array
    reasons: NDArray[np.int8]


async def get_allocation(
    engine: AsyncEngine, label: int, allocation_id: int, *, first: int, limit: int, only_skipped: bool = False
) -> tuple[Allocation, ChildPage | None]:
    """The allocation and at most `limit` children from an index on (limit 0: none), or among those with a skip reason.

    Raises NotFound.
    """
    async with transaction(engine) as tx:
        allocation = await load_allocation(tx, label, allocation_id)
        if not limit:
            return allocation, None
        columns = await load_columns(tx, allocation_id)
        page = slice(first, first + limit)
        rows = np.flatnonzero(columns.reasons)[page] if only_skipped else page
        return allocation, await _children(tx, allocation, columns, rows)


async def _children(
    tx: AsyncConnection, allocation: Allocation, columns: AllocationColumns, rows: slice | NDArray[np.intp]
) -> ChildPage:
    if columns.names_children or allocation.kind is not AllocationKind.OPEN:
        routes = await load_routes(tx, columns.child_trade_ids[rows])
        return ChildPage(routes, columns.volumes_e8[rows], columns.reasons[rows])
    return page_of(await load_set_routes(tx, allocation), columns, rows)


def page_of(routes: ChildRoutes, columns: AllocationColumns, rows: slice | NDArray[np.intp]) -> ChildPage:
    """Some of the children; the routes are those of all."""
    return ChildPage(routes.of(rows), columns.volumes_e8[rows], columns.reasons[rows])
