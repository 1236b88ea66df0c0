"""Margin levels as they would be after a trade."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.open_inputs import OpenInputs, Rows
from apportion.money import E8, Int64Array

# Floats that differ by more than this part of each other are in the order of the exact products.
_DOUBTFUL = 1e-9


def falling_out(inputs: OpenInputs, some: NDArray[np.bool_], volumes_e8: Int64Array) -> Rows:
    """Who of some would have a margin level, with these volumes more, below the percent of his subscription.

    equity ÷ (margin + volume × contract size × conversion rate ÷ leverage) < percent ÷ 100, compared as exact products.
    No percent: never.
    """
    figures, percents_e8 = inputs.figures, inputs.subscriptions.percents_e8
    watched = some & (percents_e8 > 0)
    if not watched.any():
        return np.flatnonzero(watched)
    lot_price = inputs.contract_size_e8 * inputs.conversion_e8 * 10**inputs.currency_digits
    has = inputs.bases * float(100 * E8**4)
    has *= figures.leverages
    needs = figures.margins * float(E8**3)
    needs *= figures.leverages
    needs += volumes_e8 * float(lot_price)
    needs *= percents_e8
    near = np.flatnonzero(watched & (has < needs * (1 + _DOUBTFUL)))
    if not near.size:
        return near
    is_doubtful = has[near] > needs[near] * (1 - _DOUBTFUL)
    falling, doubtful = near[~is_doubtful], near[is_doubtful]
    equity, margin, leverage, percent_e8, volume_e8 = (
        column[doubtful].astype(object)
        for column in (inputs.bases, figures.margins, figures.leverages, percents_e8, volumes_e8)
    )
    needed = percent_e8 * (margin * E8**3 * leverage + volume_e8 * lot_price)
    falls = equity * (100 * E8**4) * leverage < needed
    return np.concatenate((falling, doubtful[falls.astype(np.bool_)]))
