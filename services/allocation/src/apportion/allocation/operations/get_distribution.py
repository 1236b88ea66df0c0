"""Recompute a distribution from what was stored with the openings and with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from apportion.allocation.domain.distributions import (
    Distribution,
    DistributionColumns,
    distribute,
    explain_share,
    holders_of,
)
from apportion.allocation.domain.payouts import Payout, UnpaidSum
from apportion.allocation.storage.allocations import load_allocation
from apportion.allocation.storage.distributions import load_distribution
from apportion.allocation.storage.payouts import load_payouts, sum_unpaid
from apportion.allocation.storage.record_openings import load_records
from apportion.storage import transaction


@dataclass(frozen=True, slots=True)
class DistributionPage:
    """A distribution and some of its rows."""

    distribution: Distribution
    unpaid: UnpaidSum
    agrees: bool
    """Whether the openings' stored proportions and the deal's money give the stored shares again."""
    columns: DistributionColumns
    rows: range
    texts: list[str]
    """Of the rows: each holder's way to his share."""
    payouts: Mapping[int, Payout]
    """By subscription id; who has no share has none."""


async def get_distribution(
    engine: AsyncEngine, label: int, allocation_id: int, *, first: int, limit: int
) -> DistributionPage:
    """All shares recomputed and compared, `limit` rows from an index on explained. Raises NotFound."""
    async with transaction(engine) as tx:
        distribution, columns = await load_distribution(tx, label, allocation_id)
        agrees = await _agrees(tx, distribution, columns)
        rows = range(distribution.row_count)[first : first + limit]
        subscription_ids = columns.holders.subscription_ids[rows.start : rows.stop]
        payouts = await load_payouts(tx, label, allocation_id, subscription_ids)
        unpaid = (await sum_unpaid(tx, label, [allocation_id])).get(allocation_id, UnpaidSum())
    texts = [explain_share(distribution.money, columns.holders, columns.shares, row) for row in rows]
    return DistributionPage(distribution, unpaid, agrees, columns, rows, texts, payouts)


async def _agrees(tx: AsyncConnection, distribution: Distribution, columns: DistributionColumns) -> bool:
    pairs = zip(columns.opening_ids.tolist(), columns.opening_volumes_e8.tolist(), strict=True)
    openings = [
        await load_records(tx, await load_allocation(tx, distribution.label, opening_id), volume_e8)
        for opening_id, volume_e8 in pairs
    ]
    holders = holders_of(openings)
    shares = distribute(distribution.money, holders, distribution.residual_rule)
    stored = columns.holders
    return (
        holders.whole == stored.whole
        and np.array_equal(holders.subscription_ids, stored.subscription_ids)
        and np.array_equal(holders.proportions, stored.proportions)
        and np.array_equal(shares.profits_minor, columns.shares.profits_minor)
        and np.array_equal(shares.swaps_minor, columns.shares.swaps_minor)
        and np.array_equal(shares.commissions_minor, columns.shares.commissions_minor)
    )
