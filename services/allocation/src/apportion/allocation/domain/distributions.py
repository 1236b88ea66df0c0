"""A distribution: the money of one deal of a pooled master, divided among those who hold artificial records of it.

Records know no average price and no order of arrival: where several openings made one position, each takes part with
its open volume, as the server computes the profit of a position by its average price.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.allocations import AllocationKind
from apportion.allocation.domain.deal_money import DealMoney
from apportion.allocation.domain.methods import RoundingPolicy
from apportion.allocation.domain.open_inputs import NO_COLUMN
from apportion.allocation.domain.pl_mode import E9, distribute_minor
from apportion.allocation.domain.reasons import SkipReason
from apportion.money import Int64Array, Rounding, exact_sum, format_amount, largest_remainder, mul_div

SHOWN_DIGITS = {E9: 9, E9 * E9: 18}
"""Decimals of a proportion, by the whole it is a part of."""
EXACT_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Records:
    """The artificial records of one opening decision: columns of one length in login order."""

    allocation_id: int
    open_volume_e8: int
    """How much of the opening the master still has open, above 0."""
    child_trade_ids: Int64Array
    subscription_ids: Int64Array
    account_ids: Int64Array
    logins: Int64Array
    proportions_e9: Int64Array
    """Above 0."""
    rest_reason: str = ""
    """Why they do not add up to 1; "" where they do."""


@dataclass(frozen=True, slots=True)
class Holders:
    """Whose a deal's money is: columns of one length in login order."""

    subscription_ids: Int64Array
    account_ids: Int64Array
    logins: Int64Array
    proportions: Int64Array
    """Parts of `whole`."""
    whole: int


def holders_of(openings: Sequence[Records]) -> Holders:
    """All who hold records of a position, by their proportion of it: 1e-9, or 1e-18 where several openings made it."""
    if len(openings) == 1:
        (only,) = openings
        return Holders(only.subscription_ids, only.account_ids, only.logins, only.proportions_e9, E9)
    if not openings:
        return Holders(NO_COLUMN, NO_COLUMN, NO_COLUMN, NO_COLUMN, E9)
    parts_e9 = largest_remainder(E9, np.array([opening.open_volume_e8 for opening in openings]))
    parts = zip(openings, parts_e9.tolist(), strict=True)
    proportions = np.concatenate([opening.proportions_e9 * part for opening, part in parts])
    ids = np.concatenate([opening.subscription_ids for opening in openings])
    subscription_ids, firsts, rows = np.unique(ids, return_index=True, return_inverse=True)
    sums = np.zeros(subscription_ids.shape, dtype=np.int64)
    np.add.at(sums, rows, proportions)
    account_ids = np.concatenate([opening.account_ids for opening in openings])[firsts]
    logins = np.concatenate([opening.logins for opening in openings])[firsts]
    order = np.lexsort((subscription_ids, logins))
    return Holders(subscription_ids[order], account_ids[order], logins[order], sums[order], E9 * E9)


@dataclass(frozen=True, slots=True)
class Shares:
    """What each holder gets of a deal's money, in minor units, signed: columns in the order of the holders."""

    profits_minor: Int64Array
    swaps_minor: Int64Array
    commissions_minor: Int64Array

    @property
    def totals_minor(self) -> Int64Array:
        """What is booked: above 0 is paid to the investor, below 0 taken from him."""
        return self.profits_minor + self.swaps_minor + self.commissions_minor


def distribute(money: DealMoney, holders: Holders, rule: RoundingPolicy) -> Shares:
    """Profit, swap and commission each by itself, to the minor unit. What belongs to nobody stays with the master."""

    def divide(total_minor: int) -> Int64Array:
        return distribute_minor(total_minor, holders.proportions, rule, whole=holders.whole)

    return Shares(divide(money.profit_minor), divide(money.swap_minor), divide(money.commission_minor))


NO_SUBSCRIPTIONS = "NO_SUBSCRIPTIONS"
PERCENT_BELOW_100 = "PERCENT_BELOW_100"


def rest_reason(blanket: SkipReason, proportions_e9: Int64Array, reasons: NDArray[np.int8]) -> str:
    """Why the records of an opening do not stand for all of it; "" where they do.

    What kept everybody out, or else most of those who have none, or else percents that add up to less than 100.
    """
    if exact_sum(proportions_e9) == E9:
        return ""
    if blanket:
        return blanket.name
    if not reasons.size:
        return NO_SUBSCRIPTIONS
    left_out = reasons[(proportions_e9 == 0) & (reasons != SkipReason.NONE.value)]
    return SkipReason(int(np.bincount(left_out).argmax())).name if left_out.size else PERCENT_BELOW_100


def undistributed_reason(openings: Sequence[Records]) -> str:
    """That of the opening which leaves most of the position to nobody."""
    rests = [(records.open_volume_e8 * (E9 - exact_sum(records.proportions_e9)), records) for records in openings]
    return max(rests, key=lambda rest: rest[0])[1].rest_reason if rests else NO_SUBSCRIPTIONS


def split_volume_e8(closed_e8: int, openings: Sequence[Records]) -> Int64Array:
    """How much of each opening a close closes: by what is open of it, at most that."""
    return largest_remainder(closed_e8, np.array([opening.open_volume_e8 for opening in openings]))


def closed_volumes_e8(closed_e8: int, records: Records) -> Int64Array:
    """What a close of an opening closes of each of its records: virtual volumes, exact to 1e-8 lot."""
    spare = E9 - exact_sum(records.proportions_e9)
    return largest_remainder(closed_e8, np.append(records.proportions_e9, spare))[:-1]


@dataclass(frozen=True, slots=True)
class Distribution:
    """The row of a distribution without its columns. It has the id of the decision on its deal."""

    allocation_id: int
    label: int
    master_id: int
    kind: AllocationKind
    """CLOSE: what a closing deal brought. OPEN: what an opening deal cost, which is commission."""
    deal_ticket: int
    position_ticket: int
    currency_code: str
    residual_rule: RoundingPolicy
    closed_volume_e8: int
    """Magnitude; 0 of an opening deal."""
    money: DealMoney
    whole: int
    row_count: int
    distributed_minor: int
    """Sum of all shares; the rest of the deal's money belongs to nobody and stays on the master's account."""
    undistributed_reason: str
    """Upper-case; "" where there is no rest."""
    distribute_time: datetime

    @property
    def undistributed_minor(self) -> int:
        return self.money.total_minor - self.distributed_minor


@dataclass(frozen=True, slots=True)
class DistributionFilter:
    """What to list."""

    master_id: int = 0
    """0: of all masters."""
    only_unpaid: bool = False
    """Those with shares that are to be booked."""
    only_undistributed: bool = False
    """Those with money that belongs to nobody."""


@dataclass(frozen=True, slots=True)
class UndistributedSum:
    """Money of deals that belongs to nobody, by the reason."""

    label: int
    currency_code: str
    reason: str
    deal_count: int
    amount_minor: int
    """Sum of magnitudes."""


@dataclass(frozen=True, slots=True)
class DistributionColumns:
    """Who took part and with what, as it is stored: the inputs and the result."""

    opening_ids: Int64Array
    opening_volumes_e8: Int64Array
    """What was open of each opening before the deal: with the proportions stored there they give the holders'."""
    holders: Holders
    shares: Shares


def explain_share(money: DealMoney, holders: Holders, shares: Shares, row: int) -> str:
    """One holder's way to his share, in minor units."""
    own = int(holders.proportions[row])
    proportion = format_amount(own, SHOWN_DIGITS[holders.whole])
    ways = []
    for name, total, column in (
        ("profit", money.profit_minor, shares.profits_minor),
        ("swap", money.swap_minor, shares.swaps_minor),
        ("commission", money.commission_minor, shares.commissions_minor),
    ):
        exact = format_amount(mul_div(total * 10**EXACT_DIGITS, own, holders.whole, Rounding.HALF_UP), EXACT_DIGITS)
        if total:
            ways.append(f"{name} {total} × {proportion} ≈ {exact} → {int(column[row])}")
    return "; ".join(ways) or "nothing to distribute"
