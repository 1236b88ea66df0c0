"""Who gained from rounding and limits, over many decisions of one master."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from apportion.allocation.domain.allocations import Allocation, AllocationColumns
from apportion.allocation.domain.explaining import open_inputs
from apportion.allocation.domain.fairness import MOST_VOLUME_E8, exact_shares_e8
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.money import Int64Array

MOST_DECISIONS = 1_000
"""Of which each volume is at most MOST_VOLUME_E8, so that no sum leaves int64."""
MOST_ROWS = 2_000_000
"""Of all decisions together; more than one decision can have."""


@dataclass(frozen=True, slots=True)
class Span:
    """From the first instant on, before the second."""

    start_time: datetime
    end_time: datetime


@dataclass(frozen=True, slots=True)
class FairnessReport:
    """Columns of one length in login order; volumes are sums of magnitudes."""

    decision_count: int
    subscription_ids: Int64Array
    logins: Int64Array
    trade_counts: Int64Array
    exact_e8: Int64Array
    allotted_e8: Int64Array
    carries_e8: Int64Array
    """What the CARRY policy owes now (above 0), of all symbols."""

    @property
    def owed_e8(self) -> Int64Array:
        """Above 0: got less than the method gave."""
        return self.exact_e8 - self.allotted_e8


@dataclass(slots=True)
class _SetTotals:
    """Of the decisions made with one subscription set, in its order."""

    subscriptions: SubscriptionSet
    trade_counts: Int64Array
    exact_e8: Int64Array
    allotted_e8: Int64Array


@dataclass(slots=True)
class FairnessTotals:
    """Adds up decision after decision, each as whole columns."""

    decision_count: int = 0
    _sets: dict[int, _SetTotals] = field(default_factory=dict)

    def add(self, allocation: Allocation, columns: AllocationColumns, subscriptions: SubscriptionSet) -> None:
        """A first opening decision with the set it was made with."""
        exact_e8 = exact_shares_e8(open_inputs(allocation, columns, subscriptions), columns.reasons)
        totals = self._sets.get(subscriptions.set_version)
        if totals is None:
            nothing = np.zeros(len(subscriptions), dtype=np.int64)
            totals = _SetTotals(subscriptions, nothing, nothing.copy(), nothing.copy())
            self._sets[subscriptions.set_version] = totals
        totals.trade_counts += exact_e8 > 0
        totals.exact_e8 += np.minimum(exact_e8, MOST_VOLUME_E8)
        totals.allotted_e8 += np.minimum(columns.volumes_e8, MOST_VOLUME_E8)
        self.decision_count += 1

    def report(self, carries_e8: Mapping[int, int], logins: Mapping[int, int]) -> FairnessReport:
        """Of all subscriptions of the sets, and those with a carry, whose logins are given."""
        sets = list(self._sets.values())
        carried = sorted(carries_e8.keys() & logins.keys())
        ids = np.concatenate([*(total.subscriptions.subscription_ids for total in sets), np.array(carried, np.int64)])
        all_logins = np.concatenate(
            [*(total.subscriptions.logins for total in sets), np.array([logins[i] for i in carried], np.int64)]
        )
        known, first, places = np.unique(ids, return_index=True, return_inverse=True)
        sums = np.zeros((4, known.size), dtype=np.int64)
        done = 0
        for total in sets:
            rows = places[done : done + len(total.subscriptions)]
            sums[0, rows] += total.trade_counts
            sums[1, rows] += total.exact_e8
            sums[2, rows] += total.allotted_e8
            done += len(total.subscriptions)
        sums[3, places[done:]] = [carries_e8[i] for i in carried]
        order = np.lexsort((known, all_logins[first]))
        trade_counts, exact_e8, allotted_e8, carried_e8 = sums[:, order]
        return FairnessReport(
            self.decision_count,
            known[order],
            all_logins[first][order],
            trade_counts,
            exact_e8,
            allotted_e8,
            carried_e8,
        )
