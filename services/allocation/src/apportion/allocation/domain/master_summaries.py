"""What a master's subscriptions add up to."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime

from apportion.allocation.domain.accounts import AccountStates
from apportion.allocation.domain.alignment import align
from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.domain.shares import PERCENT_E8
from apportion.money import Int64Array, exact_sum

BY_LOT = frozenset({AllocationMethod.DIVIDE_BY_LOT, AllocationMethod.FIXED_LOT})


class SummaryWarning(enum.IntEnum):
    """The numbers are those of the protos."""

    PERCENT_BELOW_100 = 1
    NO_LOT = 2
    STALE_STATES = 3


@dataclass(frozen=True, slots=True)
class SubscriptionSums:
    """Of the running subscriptions of a master."""

    subscription_count: int
    active_account_ids: Int64Array
    lot_e8: int
    """Over the active ones, as the next."""
    percent_e8: int


@dataclass(frozen=True, slots=True)
class ProfitSums:
    """Of all deals whose money was distributed, signed."""

    undistributed_minor: int
    """Belongs to nobody."""
    unpaid_minor: int
    """Not booked yet: above 0 is to be paid to investors."""


@dataclass(frozen=True, slots=True)
class MasterSummary:
    master_id: int
    sums: SubscriptionSums
    balance_minor: int
    """Over the active subscriptions whose states are known, as the next three."""
    equity_minor: int
    margin_minor: int
    free_margin_minor: int
    warnings: tuple[SummaryWarning, ...]
    observed_time: datetime | None
    """Of the states; None without any."""
    profit: ProfitSums


def summarize(
    master: Master, sums: SubscriptionSums, states: AccountStates | None, profit: ProfitSums
) -> MasterSummary:
    """`states` are those of the master's trading server while they are fresh, else None."""
    wanted = sums.active_account_ids
    balance, equity, margin, free_margin, unknown_count = 0, 0, 0, 0, wanted.size
    if states is not None and wanted.size:
        alignment = align(states.account_ids, wanted)
        rows = alignment.rows[alignment.found]
        unknown_count -= rows.size
        columns = (states.balances_minor, states.equities_minor, states.margins_minor, states.free_margins_minor)
        balance, equity, margin, free_margin = (exact_sum(column[rows]) for column in columns)
    found = {
        SummaryWarning.PERCENT_BELOW_100: master.method is AllocationMethod.DIVIDE_BY_PERCENT
        and sums.percent_e8 < PERCENT_E8,
        SummaryWarning.NO_LOT: master.method in BY_LOT and sums.lot_e8 == 0,
        SummaryWarning.STALE_STATES: unknown_count > 0,
    }
    return MasterSummary(
        master.master_id,
        sums,
        balance,
        equity,
        margin,
        free_margin,
        warnings=tuple(warning for warning, holds in found.items() if holds),
        observed_time=states.observed_time if states is not None and unknown_count < wanted.size else None,
        profit=profit,
    )
