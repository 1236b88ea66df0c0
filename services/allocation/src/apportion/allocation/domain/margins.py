"""Margin levels as they would be after a trade."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.open_inputs import OpenInputs, Rows
from apportion.money import E8, Int64Array

# Floats that differ by more than this part of the greater are in the order of the exact products.
_DOUBTFUL = 1e-9


def falling_out(inputs: OpenInputs, rows: Rows, volumes_e8: Int64Array) -> Rows:
    """Who of these rows would have a margin level, with these volumes more, below the percent of his subscription.

    equity ÷ (margin + volume × contract size × conversion rate ÷ leverage) < percent ÷ 100, compared as exact products.
    No percent: never.
    """
    percents_e8 = inputs.subscriptions.percents_e8[rows]
    if not percents_e8.all():
        watched = percents_e8 > 0
        rows, volumes_e8, percents_e8 = rows[watched], volumes_e8[watched], percents_e8[watched]
    equities, margins, leverages = (
        column[rows] for column in (inputs.bases, inputs.figures.margins, inputs.figures.leverages)
    )
    lot_price = inputs.contract_size * inputs.conversion_e8 * 10**inputs.currency_digits
    has = leverages * float(100 * E8**3)
    has *= equities
    needs = leverages * float(E8**2)
    needs *= margins
    needs += volumes_e8 * float(lot_price)
    needs *= percents_e8
    falls: NDArray[np.bool_] = has < needs
    doubtful = np.flatnonzero(np.abs(has - needs) <= _DOUBTFUL * np.maximum(has, needs))
    if doubtful.size:
        equity, margin, leverage, percent_e8, volume_e8 = (
            column[doubtful].astype(object) for column in (equities, margins, leverages, percents_e8, volumes_e8)
        )
        needed = percent_e8 * (margin * E8**2 * leverage + volume_e8 * lot_price)
        falls[doubtful] = equity * (100 * E8**3) * leverage < needed
    return rows[falls]
