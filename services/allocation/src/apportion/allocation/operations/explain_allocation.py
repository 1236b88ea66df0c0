"""Recompute a stored decision from its stored inputs."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation, AllocationKind
from apportion.allocation.domain.explaining import (
    ChildExplanation,
    explain_close,
    explain_open,
    explain_reopening,
    explain_stops,
)
from apportion.allocation.storage.allocations import load_allocation, load_columns
from apportion.allocation.storage.child_trades import load_routes
from apportion.allocation.storage.subscription_sets import load_set_of
from apportion.storage import transaction


@dataclass(frozen=True, slots=True)
class Explanation:
    allocation: Allocation
    agrees: bool
    children: list[ChildExplanation]


async def explain_allocation(
    engine: AsyncEngine, label: int, allocation_id: int, *, first: int, limit: int
) -> Explanation:
    """All volumes recomputed and compared, `limit` children from an index on explained. Raises NotFound."""
    async with transaction(engine) as tx:
        allocation = await load_allocation(tx, label, allocation_id)
        columns = await load_columns(tx, allocation_id)
        rows = range(allocation.row_count)[first : first + limit]
        if allocation.kind is AllocationKind.CLOSE:
            routes = await load_routes(tx, columns.child_trade_ids[rows.start : rows.stop])
            agrees, children = explain_close(allocation, columns, routes, rows)
        elif allocation.kind is AllocationKind.MODIFY:
            routes = await load_routes(tx, columns.child_trade_ids)
            agrees, children = explain_stops(allocation, columns, routes, rows)
        elif columns.names_children:
            routes = await load_routes(tx, columns.child_trade_ids[rows.start : rows.stop])
            agrees, children = explain_reopening(columns, routes, rows)
        else:
            agrees, children = explain_open(allocation, columns, await load_set_of(tx, allocation), rows)
    return Explanation(allocation, agrees, children)
