"""The exact share of each child of a copying or deriving method, before the one rounding."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.methods import AllocationMethod, LotMode
from apportion.allocation.domain.open_inputs import OpenInputs, Rows
from apportion.money import E8, INT64_MAX, Int64Array, Rounding, mul_div, product_div

PERCENT_E8 = 100 * E8
"""A whole, in 1e-8 percent."""


@dataclass(frozen=True, slots=True)
class Share:
    """multiplier × the product of the row's factors ÷ divisor, in 1e-8 lot, for each row."""

    factors: tuple[Int64Array, ...]
    """0 or above; one to three columns."""
    multiplier: int
    divisor: int

    def exact(self, row: int) -> Fraction:
        """One share as a fraction of 1e-8 lots."""
        return Fraction(self.multiplier * prod(int(column[row]) for column in self.factors), self.divisor)

    def of(self, rows: Rows) -> Share:
        """The shares of some rows."""
        return Share(tuple(column[rows] for column in self.factors), self.multiplier, self.divisor)

    def in_units(self, unit_e8: int, rounding: Rounding) -> Int64Array:
        """Share ÷ unit of all rows, rounded once, exact also where products pass 63 bits.

        INT64_MAX where it would be more, as of a tiny contract size: no grid has so much, so limits cut it.
        """
        try:
            return product_div(self.factors, self.multiplier, self.divisor * unit_e8, rounding)
        except OverflowError:
            shares = [self.exact(row) / unit_e8 for row in range(self.factors[0].size)]
            return np.array([_rounded(min(share, Fraction(INT64_MAX)), rounding) for share in shares], dtype=np.int64)

    def reaches(self, volume_e8: int, factors_e8: Int64Array, rows: Rows) -> NDArray[np.bool_]:
        """Which of some rows have a share that, times a factor of each, comes up to a volume."""
        # ⌊share × factor⌋ ≥ a whole number exactly when share × factor is.
        times = Share((*(column[rows] for column in self.factors), factors_e8), self.multiplier, self.divisor * E8)
        return times.in_units(1, Rounding.DOWN) >= volume_e8


def _rounded(share: Fraction, rounding: Rounding) -> int:
    return mul_div(share.numerator, 1, share.denominator, rounding)


Formula = Callable[[OpenInputs, Rows], Share]


def _of_master(inputs: OpenInputs, rows: Rows) -> Share:
    """M × figure_i ÷ figure of the master."""
    return Share((inputs.bases[rows],), inputs.volume_e8, inputs.master_basis)


def _of_master_by_ratio(inputs: OpenInputs, rows: Rows) -> Share:
    ratios_e8 = inputs.subscriptions.ratios_e8[rows]
    return Share((inputs.bases[rows], ratios_e8), inputs.volume_e8, inputs.master_basis * E8)


def _of_master_by_percent(inputs: OpenInputs, rows: Rows) -> Share:
    percents_e8 = inputs.subscriptions.percents_e8[rows]
    return Share((inputs.bases[rows], percents_e8), inputs.volume_e8, inputs.master_basis * PERCENT_E8)


def _multiplied_by_ratio(inputs: OpenInputs, rows: Rows) -> Share:
    return Share((inputs.subscriptions.ratios_e8[rows],), inputs.volume_e8, E8)


def _multiplied_by_lot(inputs: OpenInputs, rows: Rows) -> Share:
    """M × lot_i, which is a factor here."""
    return Share((inputs.subscriptions.lots_e8[rows],), inputs.volume_e8, E8)


def _fixed(inputs: OpenInputs, rows: Rows) -> Share:
    return Share((inputs.subscriptions.lots_e8[rows],), 1, 1)


def _of_equity(inputs: OpenInputs, rows: Rows) -> Share:
    """equity_i × percent_i ÷ 100 lots, the equity in whole currency units: the 1e-8 of lot and percent cancel out."""
    percents_e8 = inputs.subscriptions.percents_e8[rows]
    return Share((inputs.bases[rows], percents_e8), 1, 100 * 10**inputs.currency_digits)


def _of_buying_power(inputs: OpenInputs, rows: Rows) -> Share:
    """percent_i ÷ 100 × leverage_i × equity_i ÷ (contract size × conversion rate)."""
    factors = inputs.bases[rows], inputs.figures.leverages[rows], inputs.subscriptions.percents_e8[rows]
    lot_price = 100 * 10**inputs.currency_digits * inputs.contract_size_e8 * inputs.conversion_e8
    return Share(factors, E8**2, lot_price)


FORMULAS: Mapping[AllocationMethod, Formula] = {
    AllocationMethod.EQUITY_PERCENT: _of_buying_power,
    AllocationMethod.COPY_BY_BALANCE: _of_master_by_ratio,
    AllocationMethod.COPY_BY_EQUITY: _of_master_by_ratio,
    AllocationMethod.COPY_BY_FREE_MARGIN: _of_master,
    AllocationMethod.FIXED_LOT: _fixed,
    AllocationMethod.RATIO_MULTIPLIER: _multiplied_by_ratio,
    AllocationMethod.RISK: _of_master_by_percent,
    AllocationMethod.EQUITY_SHARE: _of_equity,
}
MODE_FORMULAS: Mapping[LotMode, Formula] = {
    LotMode.MULTIPLIER: _multiplied_by_lot,
    LotMode.FIXED: _fixed,
    LotMode.RISK: _of_master_by_percent,
    LotMode.EQUITY: _of_equity,
}


def shares_of(inputs: OpenInputs, rows: Rows) -> list[tuple[Rows, Share]]:
    """The shares of the given rows: of all by the master's method, or of each group by the mode it has chosen."""
    if not rows.size:
        return []
    if inputs.method is not AllocationMethod.LOT_MULTIPLIER:
        return [(rows, FORMULAS[inputs.method](inputs, rows))]
    modes = inputs.subscriptions.modes[rows]
    groups = [(rows[np.flatnonzero(modes == mode.value)], formula) for mode, formula in MODE_FORMULAS.items()]
    return [(group, formula(inputs, group)) for group, formula in groups if group.size]
