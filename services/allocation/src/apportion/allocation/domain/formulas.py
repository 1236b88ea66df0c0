"""Each method's way to a child's volume, in words and figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from apportion.allocation.domain.gates import MASTER_BASED, dividing_weights
from apportion.allocation.domain.methods import AllocationMethod, LotMode, RoundingPolicy
from apportion.allocation.domain.open_inputs import NO_COLUMN, OpenInputs, Rows
from apportion.allocation.domain.shares import PERCENT_E8, shares_of
from apportion.money import exact_sum, format_amount

_METHOD_OF_MODE: Mapping[LotMode, AllocationMethod] = {
    LotMode.FIXED: AllocationMethod.FIXED_LOT,
    LotMode.RISK: AllocationMethod.RISK,
    LotMode.EQUITY: AllocationMethod.EQUITY_SHARE,
}


@dataclass(frozen=True, slots=True)
class Sums:
    """What the figures of those who share a trade add up to."""

    weights: int = 0
    held_e8: int = 0


def owed(inputs: OpenInputs, row: int) -> str:
    """What the CARRY policy adds to a share."""
    if inputs.rounding is not RoundingPolicy.CARRY:
        return ""
    carry_e8 = int(inputs.figures.carries_e8[row])
    return f" {'−' if carry_e8 < 0 else '+'} {lots(abs(carry_e8))} owed"


def sums_of(inputs: OpenInputs, rows: Rows) -> Sums:
    """The sums of a dividing method over those who got a share."""
    weights = dividing_weights(inputs)
    if weights is None:
        return Sums()
    least = PERCENT_E8 if inputs.method is AllocationMethod.DIVIDE_BY_PERCENT else 0
    held_e8 = inputs.figures.held_e8[rows] if inputs.method is AllocationMethod.EQUAL_RISK else NO_COLUMN
    return Sums(max(exact_sum(weights[rows]), least), exact_sum(held_e8))


def exact_share(inputs: OpenInputs, row: int, sums: Sums) -> Fraction:
    """The share of somebody who takes part, in 1e-8 lots."""
    weights = dividing_weights(inputs)
    if weights is None:
        [(_, share)] = shares_of(inputs, np.array([row]))
        return share.exact(0)
    held_e8 = int(inputs.figures.held_e8[row]) if inputs.method is AllocationMethod.EQUAL_RISK else 0
    volume_e8 = inputs.master_steps * inputs.grid.step_e8 + sums.held_e8
    return Fraction(volume_e8 * int(weights[row]), sums.weights) - held_e8


def lots(volume_e8: int) -> str:
    """1e-8 lots (or ratios, percents, units) as a plain decimal without trailing zeros."""
    return format_amount(volume_e8, 8).rstrip("0").rstrip(".")


def formula(inputs: OpenInputs, row: int, sums: Sums) -> str:
    """A child's share before rounding, as its method computes it."""
    subscriptions = inputs.subscriptions
    master = f"{lots(inputs.volume_e8)} lot"
    lot, percent = lots(int(subscriptions.lots_e8[row])), f"{lots(int(subscriptions.percents_e8[row]))} %"
    basis = int(inputs.bases[row]) if inputs.bases.size else 0
    method = inputs.method
    if method is AllocationMethod.LOT_MULTIPLIER:
        mode = LotMode(int(subscriptions.modes[row]))
        if mode is LotMode.MULTIPLIER:
            return f"{master} × {lot}"
        method = _METHOD_OF_MODE[mode]
    match method:
        case AllocationMethod.DIVIDE_BY_LOT:
            return f"{master} × {lot} / {lots(sums.weights)}"
        case AllocationMethod.DIVIDE_BY_PERCENT:
            return f"{master} × {percent} / {lots(sums.weights)} %"
        case AllocationMethod.DIVIDE_BY_BALANCE | AllocationMethod.DIVIDE_BY_EQUITY:
            return f"{master} × {basis} / {sums.weights}"
        case AllocationMethod.EQUAL_RISK:
            held = lots(int(inputs.figures.held_e8[row]))
            return f"({master} + {lots(sums.held_e8)} held) × {basis} / {sums.weights} − {held} held"
        case AllocationMethod.EQUITY_PERCENT:
            leverage = int(inputs.figures.leverages[row])
            lot_price = f"({lots(inputs.contract_size_e8)} × {lots(inputs.conversion_e8)})"
            return f"{percent} × {leverage} × {format_amount(basis, inputs.currency_digits)} / {lot_price} lot"
        case AllocationMethod.EQUITY_SHARE:
            return f"{format_amount(basis, inputs.currency_digits)} lot × {percent}"
        case AllocationMethod.FIXED_LOT:
            return f"{lot} lot"
        case AllocationMethod.RATIO_MULTIPLIER:
            return f"{master} × {lots(int(subscriptions.ratios_e8[row]))}"
    if method not in MASTER_BASED:
        raise ValueError(f"{method.name} has no formula")
    text = f"{master} × {basis} / {inputs.master_basis}"
    if method is AllocationMethod.RISK:
        return f"{text} × {percent}"
    if method is AllocationMethod.COPY_BY_FREE_MARGIN:
        return text
    return f"{text} × {lots(int(subscriptions.ratios_e8[row]))}"
