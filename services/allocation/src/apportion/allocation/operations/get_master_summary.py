"""What a master's subscriptions add up to now."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.master_summaries import MasterSummary, ProfitSums, summarize
from apportion.allocation.operations.desk import Desk
from apportion.allocation.storage.distributions import sum_undistributed_of_master
from apportion.allocation.storage.masters import load_master
from apportion.allocation.storage.payouts import sum_unpaid_of_master
from apportion.allocation.storage.subscription_sums import load_subscription_sums
from apportion.storage import transaction


async def get_master_summary(
    engine: AsyncEngine, desk: Desk, label: int, master_id: int, *, now: datetime
) -> MasterSummary:
    """States that are too old count as unknown, as in a decision. Raises NotFound."""
    async with transaction(engine) as tx:
        master = await load_master(tx, label, master_id)
        sums = await load_subscription_sums(tx, master_id)
        profit = ProfitSums(
            await sum_undistributed_of_master(tx, master_id), await sum_unpaid_of_master(tx, label, master.account_id)
        )
    return summarize(master, sums, await desk.fresh_states(master.trading_server_id, now), profit)
