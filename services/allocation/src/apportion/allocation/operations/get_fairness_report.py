"""Who gained from rounding and limits."""

from __future__ import annotations

import asyncio

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.allocations import Allocation, AllocationColumns
from apportion.allocation.domain.fairness_totals import (
    MOST_DECISIONS,
    MOST_ROWS,
    FairnessReport,
    FairnessTotals,
    Span,
)
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.allocation.errors import SpanTooLong
from apportion.allocation.storage.allocations import load_decisions
from apportion.allocation.storage.carries import load_all_carries
from apportion.allocation.storage.fairness_spans import list_spanned
from apportion.allocation.storage.masters import load_master
from apportion.allocation.storage.subscription_sets import load_set_of
from apportion.storage import transaction

CHUNK = 20
"""Decisions in memory at once."""


async def get_fairness_report(engine: AsyncEngine, label: int, master_id: int, span: Span) -> FairnessReport:
    """Computed again from the stored inputs of each decision, in a thread. Raises NotFound or SpanTooLong."""
    async with transaction(engine) as tx:
        await load_master(tx, label, master_id)
        spanned = await list_spanned(tx, master_id, span)
        carries_e8, logins = await load_all_carries(tx, master_id)
    if spanned.end_time is not None:
        raise SpanTooLong(end_time=spanned.end_time.isoformat(), most_decisions=MOST_DECISIONS, most_rows=MOST_ROWS)
    totals, sets = FairnessTotals(), dict[int, SubscriptionSet]()
    for first in range(0, len(spanned.allocation_ids), CHUNK):
        async with transaction(engine) as tx:
            decisions = await load_decisions(tx, spanned.allocation_ids[first : first + CHUNK])
            for allocation, _ in decisions:
                if allocation.set_version not in sets:
                    sets[allocation.set_version] = await load_set_of(tx, allocation)
        await asyncio.to_thread(_add, totals, decisions, sets)
    return totals.report(carries_e8, logins)


def _add(
    totals: FairnessTotals, decisions: list[tuple[Allocation, AllocationColumns]], sets: dict[int, SubscriptionSet]
) -> None:
    for allocation, columns in decisions:
        totals.add(allocation, columns, sets[allocation.set_version])
