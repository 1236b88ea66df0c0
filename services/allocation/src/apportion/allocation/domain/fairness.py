"""Who gained from rounding and limits: what the method gave exactly, against what was allotted."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.claims import Levels
from apportion.allocation.domain.dividing import divide
from apportion.allocation.domain.gates import dividing_weights, gate
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.lot_limits import LotLimits
from apportion.allocation.domain.methods import AllocationMethod, RoundingPolicy
from apportion.allocation.domain.open_inputs import OpenInputs, Rows
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.shares import PERCENT_E8, shares_of
from apportion.money import INT64_MAX, Int64Array, Rounding, exact_sum, largest_remainder

MOST_VOLUME_E8 = INT64_MAX // 1_000
"""92 million lots: no use is made of more, and sums of a thousand such volumes fit into int64."""
_FINEST = LotLimits(SymbolGrid(1, 1, INT64_MAX), INT64_MAX)


def exact_shares_e8(inputs: OpenInputs, reasons: NDArray[np.int8]) -> Int64Array:
    """What the method gives each subscription before lot grid and limits, in 1e-8 lot; 0 for who takes no part.

    `reasons` are those of the decision. Shares of a dividing method add up to the volume that it divides (of percents
    below 100 in sum to their part of it), those of others are each rounded half up and at most MOST_VOLUME_E8. What is
    owed from earlier trades is not in them.
    """
    exact_e8 = np.zeros(len(inputs.subscriptions), dtype=np.int64)
    rows = takers(inputs, reasons)
    weights = dividing_weights(inputs)
    if not rows.size:
        return exact_e8
    if weights is not None:
        exact_e8[rows] = _divided_e8(inputs, rows, weights[rows])
    else:
        for group, share in shares_of(inputs, rows):
            exact_e8[group] = np.minimum(share.in_units(1, Rounding.HALF_UP), MOST_VOLUME_E8)
    return exact_e8


def takers(inputs: OpenInputs, reasons: NDArray[np.int8]) -> Rows:
    """Who the shares were computed among: not kept out before, nor for his margin level after the division."""
    return np.flatnonzero((gate(inputs) == SkipReason.NONE.value) & (reasons != SkipReason.MARGIN_GATE.value))


def _divided_e8(inputs: OpenInputs, rows: Rows, weights: Int64Array) -> Int64Array:
    volume_e8 = inputs.master_steps * inputs.grid.step_e8
    if inputs.method is AllocationMethod.EQUAL_RISK:
        claims = Levels(weights, inputs.figures.held_e8[rows], volume_e8, _FINEST)
        return divide(claims, _FINEST, RoundingPolicy.LARGEST_REMAINDER, np.zeros(rows.shape, dtype=np.int8))
    spare = PERCENT_E8 - exact_sum(weights) if inputs.method is AllocationMethod.DIVIDE_BY_PERCENT else 0
    return largest_remainder(volume_e8, np.append(weights, max(spare, 0)))[:-1]
