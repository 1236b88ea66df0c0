"""The kernel of the copying methods: each child alone is rounded to the lot grid."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import RoundingPolicy
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.shares import Share
from apportion.money import Int64Array, Rounding

MAX_ROUND_UP_FACTOR = 5
"""Min lot is opened instead of a smaller share only while it is at most this many times the share."""


def copy(share: Share, grid: SymbolGrid, policy: RoundingPolicy) -> tuple[Int64Array, NDArray[np.int8]]:
    """Steps and reasons of children that stand alone: above max lot cut to it, below min lot none (or min lot)."""
    rounding = Rounding.HALF_UP if policy is RoundingPolicy.NEAREST else Rounding.DOWN
    steps = share.in_steps(grid.step_e8, rounding)
    reasons = np.zeros(steps.shape, dtype=np.int8)
    capped = steps > grid.max_steps
    below = steps < grid.min_steps
    if capped.any():
        steps[capped] = grid.max_steps
        reasons[capped] = SkipReason.CAPPED
    if below.any():
        lifted = below & may_round_up(share, grid)
        steps[below] = 0
        reasons[below] = SkipReason.BELOW_MIN_LOT
        steps[lifted] = grid.min_steps
        reasons[lifted] = SkipReason.NONE
    return steps, reasons


def may_round_up(share: Share, grid: SymbolGrid) -> NDArray[np.bool_]:
    """Who may get min lot although his share is smaller: he asked for it, and the risk stays within the factor."""
    may = share.round_up_to_min.copy()
    rows = np.flatnonzero(may)
    if rows.size:
        may[rows] = share.of(rows).in_steps(grid.step_e8, Rounding.DOWN, MAX_ROUND_UP_FACTOR) >= grid.min_steps
    return may
