"""Keep what moved the balance of accounts with a limit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.money import Int64Array
from apportion.risk.domain.books import Deals
from apportion.risk.storage.deals import save_deals
from apportion.risk.storage.limits import limited_accounts


@dataclass(frozen=True, slots=True)
class ObservedDeals:
    """Deals of many accounts that moved money; row i of `deals` belongs to `account_ids[i]`."""

    account_ids: Int64Array
    deals: Deals


async def record_deals(tx: AsyncConnection, label: int, observed: ObservedDeals) -> int:
    """How many were kept. Exactly once: a deal is known by its ticket, and flows are sums over kept deals."""
    if not observed.account_ids.size:
        return 0
    limited = await limited_accounts(tx, label, np.unique(observed.account_ids))
    rows = np.flatnonzero(np.isin(observed.account_ids, limited))
    if not rows.size:
        return 0
    deals = observed.deals
    kept = Deals(
        deals.tickets[rows],
        deals.balances_minor[rows],
        deals.credits_minor[rows],
        deals.flows_minor[rows],
        deals.server_times_ms[rows],
    )
    return await save_deals(tx, label, observed.account_ids[rows], kept)
