"""The kernel of the dividing methods: the children add up to the master, by a named rounding policy.

Limits re-divide: whoever would pass max lot is fixed at it, whoever stays below min lot is left out (or fixed at min
lot), and the rest of the volume is divided again among the others by the same policy, until nothing changes. What
nobody can take stays unallocated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.copying import may_round_up
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import RoundingPolicy
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.shares import Share
from apportion.money import Int64Array, largest_remainder, nearest_largest

Split = Callable[[int, Int64Array], Int64Array]
SPLITS: Mapping[RoundingPolicy, Split] = {
    RoundingPolicy.NEAREST_LARGEST: nearest_largest,
    RoundingPolicy.LARGEST_REMAINDER: largest_remainder,
}


def divide(share: Share, grid: SymbolGrid, policy: RoundingPolicy) -> tuple[Int64Array, NDArray[np.int8]]:
    """Steps and reasons of children whose weights are all above 0; their sum is at most the master's whole steps."""
    if share.weights is None:
        raise TypeError("a dividing method needs weights")
    split, min_steps, max_steps = SPLITS[policy], grid.min_steps, grid.max_steps
    steps = np.zeros(share.weights.shape, dtype=np.int64)
    reasons = np.zeros(share.weights.shape, dtype=np.int8)
    # What is not fixed yet: volume, rows, their weights, and who of them may get min lot instead of less.
    rest, free = share.volume_e8 // grid.step_e8, np.arange(share.weights.size)
    weights, liftable = share.weights, may_round_up(share, grid)
    while free.size:
        parts = split(rest, weights)
        # A part of 0 steps frees no volume by leaving: only who is lifted or loses a part makes a new division.
        if (over := parts > max_steps).any():
            leaving, taking, taken_steps = over, np.flatnonzero(over), max_steps
            reasons[free[taking]] = SkipReason.CAPPED
        elif (below := (parts < min_steps) & ((parts > 0) | liftable)).any():
            leaving, taking, taken_steps = below, _affordable(below & liftable, weights, rest, min_steps), min_steps
        else:
            steps[free] = parts
            break
        steps[free[taking]] = taken_steps
        rest -= taking.size * taken_steps
        staying = ~leaving
        free, weights, liftable = free[staying], weights[staying], liftable[staying]
    reasons[steps == 0] = SkipReason.BELOW_MIN_LOT
    return steps, reasons


def _affordable(wanted: NDArray[np.bool_], weights: Int64Array, rest: int, min_steps: int) -> NDArray[np.intp]:
    """As many of the wanted as min lot can be given to; the greater weight first, then the lower login."""
    rows = np.flatnonzero(wanted)
    if rows.size * min_steps > rest:
        rows = rows[np.argsort(-weights[rows], kind="stable")][: rest // min_steps]
    return rows
