"""Distribute what a deal of a pooled master booked on his account."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.allocations import Allocation
from apportion.allocation.domain.deal_money import DealMoney
from apportion.allocation.domain.distributions import (
    Distribution,
    DistributionColumns,
    Records,
    distribute,
    holders_of,
    undistributed_reason,
)
from apportion.allocation.domain.masters import Master
from apportion.allocation.storage.distributions import insert_distribution
from apportion.allocation.storage.payouts import insert_payouts
from apportion.allocation.storage.record_openings import load_records
from apportion.money import exact_sum


async def distribute_opening(
    tx: AsyncConnection, master: Master, opening: Allocation, money: DealMoney, *, now: datetime
) -> None:
    """What an opening deal cost is distributed at once, by its own proportions.

    The server takes commission from the master's account with the deal: until it is distributed, his balance is not
    the sum of the investors'. Also of a deal that was decided by command before it was read; a repeat does nothing.
    """
    if not money.is_nothing:
        records = await load_records(tx, opening, abs(opening.trade.volume_e8))
        await distribute_deal(tx, master, opening, [records], money, closed_e8=0, now=now)


async def distribute_deal(
    tx: AsyncConnection,
    master: Master,
    decision: Allocation,
    openings: Sequence[Records],
    money: DealMoney,
    *,
    closed_e8: int,
    now: datetime,
) -> None:
    """Stores the distribution with its inputs, and a payout for each share; a deal is distributed once."""
    holders = holders_of(openings)
    shares = distribute(money, holders, master.residual_rule)
    distributed_minor = exact_sum(shares.totals_minor)
    is_whole = distributed_minor == money.total_minor
    distribution = Distribution(
        allocation_id=decision.allocation_id,
        label=master.label,
        master_id=master.master_id,
        kind=decision.kind,
        deal_ticket=decision.trade.deal_ticket,
        position_ticket=decision.trade.position_ticket,
        currency_code=master.currency_code,
        residual_rule=master.residual_rule,
        closed_volume_e8=closed_e8,
        money=money,
        whole=holders.whole,
        row_count=int(holders.subscription_ids.size),
        distributed_minor=distributed_minor,
        undistributed_reason="" if is_whole else undistributed_reason(openings),
        distribute_time=now,
    )
    columns = DistributionColumns(
        opening_ids=np.array([opening.allocation_id for opening in openings], dtype=np.int64),
        opening_volumes_e8=np.array([opening.open_volume_e8 for opening in openings], dtype=np.int64),
        holders=holders,
        shares=shares,
    )
    if await insert_distribution(tx, distribution, columns):
        await insert_payouts(tx, distribution, master.account_id, holders, shares)
