"""The exact share of each child before the one rounding."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd

import numpy as np
from numpy.typing import NDArray

from apportion.money import E8, INT64_MAX, Int64Array, Rounding, mul_div, mul_div_floor, mul_div_half_up


@dataclass(frozen=True, slots=True)
class Share:
    """volume × weight_i ÷ weight_divisor × ratio_i ÷ 1e8, in 1e-8 lot, for each row.

    No weights: 1 each, and the divisor is 1. No ratios: 1.0 each.
    """

    volume_e8: int
    weights: Int64Array | None
    ratios_e8: Int64Array | None
    weight_divisor: int
    round_up_to_min: NDArray[np.bool_]

    def of(self, rows: NDArray[np.intp]) -> Share:
        """The shares of some rows only."""
        return replace(
            self,
            weights=None if self.weights is None else self.weights[rows],
            ratios_e8=None if self.ratios_e8 is None else self.ratios_e8[rows],
            round_up_to_min=self.round_up_to_min[rows],
        )

    def exact(self, row: int) -> Fraction:
        """One share as a fraction of 1e-8 lots."""
        weight = 1 if self.weights is None else int(self.weights[row])
        ratio_e8 = E8 if self.ratios_e8 is None else int(self.ratios_e8[row])
        return Fraction(self.volume_e8 * weight * ratio_e8, self.weight_divisor * E8)

    def in_steps(self, step_e8: int, rounding: Rounding, factor: int = 1) -> Int64Array:
        """factor × share ÷ step for all rows, rounded once, exact also where products pass 63 bits."""
        ratios = np.full(self.round_up_to_min.shape, E8) if self.ratios_e8 is None else self.ratios_e8
        ratio_unit = gcd(int(np.gcd.reduce(ratios)), E8)
        ratios = ratios // ratio_unit
        multiplier = self.volume_e8 * factor
        divisor = self.weight_divisor * (E8 // ratio_unit) * step_e8
        common = gcd(multiplier, divisor)
        multiplier, divisor = multiplier // common, divisor // common
        if multiplier * int(ratios.max(initial=1)) > INT64_MAX or divisor > INT64_MAX:
            return self._in_steps_of_big(ratios, multiplier, divisor, rounding)
        round_all = mul_div_half_up if rounding is Rounding.HALF_UP else mul_div_floor
        return round_all(multiplier * ratios, 1 if self.weights is None else self.weights, divisor)

    def _in_steps_of_big(self, ratios: Int64Array, multiplier: int, divisor: int, rounding: Rounding) -> Int64Array:
        weights = [1] * ratios.size if self.weights is None else self.weights.tolist()
        steps = [mul_div(w, multiplier * r, divisor, rounding) for w, r in zip(weights, ratios.tolist(), strict=True)]
        return np.array(steps, dtype=np.int64)
