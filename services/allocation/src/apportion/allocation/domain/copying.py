"""The kernel of the copying and deriving methods: each child alone is rounded to the lot grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.lot_limits import LotLimits
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.shares import Share
from apportion.money import Int64Array, Rounding


def copy(share: Share, limits: LotLimits, rounding: Rounding) -> tuple[Int64Array, NDArray[np.int8]]:
    """Steps and reasons of children that stand alone: above the limit cut to it, below min lot none (or min lot)."""
    grid = limits.grid
    steps = share.in_units(grid.step_e8, rounding)
    reasons = np.zeros(steps.shape, dtype=np.int8)
    capped = steps > limits.max_steps
    if capped.any():
        reasons[capped] = SkipReason.CAPPED
        steps = np.minimum(steps, limits.max_steps)
    below = np.flatnonzero(steps < grid.min_steps)
    if below.size:
        steps[below] = 0
        reasons[below[reasons[below] == SkipReason.NONE.value]] = SkipReason.BELOW_MIN_LOT
        lifted, factors_e8 = limits.liftable(below)
        lifted = lifted[share.reaches(grid.min_steps * grid.step_e8, factors_e8, lifted)]
        steps[lifted] = grid.min_steps
        reasons[lifted] = SkipReason.NONE
    return steps, reasons


def copy_with_carry(
    share: Share, limits: LotLimits, carries_e8: Int64Array
) -> tuple[Int64Array, NDArray[np.int8], Int64Array]:
    """As `copy`, of share + what each is owed, half up; and what it is owed afterwards.

    Limits above are no rounding: who is cut by one is owed what he was owed before. What min lot kept back is owed, so
    that small followers get their part in the end.
    """
    step_e8 = limits.grid.step_e8
    # Who is cut, however much too much he got before, needs no share in 1e-8 lot, which might not fit into int64.
    too_much = -int(carries_e8.min(initial=0)) // step_e8 + 2
    cut = share.in_units(step_e8, Rounding.DOWN) > limits.max_steps + too_much
    owed_e8 = np.where(cut, (limits.max_steps + 1) * step_e8, 0)
    rows = np.flatnonzero(~cut)
    owed_e8[rows] = added(share.of(rows).in_units(1, Rounding.HALF_UP), carries_e8[rows])
    steps, reasons = copy(Share((np.maximum(owed_e8, 0),), 1, 1), limits, Rounding.HALF_UP)
    left_e8 = owed_e8 - steps * step_e8
    return steps, reasons, np.where(reasons == SkipReason.CAPPED.value, carries_e8, left_e8)


def added(shares_e8: Int64Array, carries_e8: Int64Array) -> Int64Array:
    """Shares (0 or above) and what is owed. OverflowError where a sum leaves int64."""
    sums: Int64Array = shares_e8 + carries_e8
    if (sums < carries_e8).any():
        raise OverflowError("a share and what is owed do not fit into int64")
    return sums
