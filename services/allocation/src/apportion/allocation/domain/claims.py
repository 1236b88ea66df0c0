"""What each child of a dividing method may claim of the volume that is not given away yet, exactly.

A claim is judged exactly and rounded once, by these two: `Proportions` for plain weights, `Levels` for weights of which
each already has something. Both keep one row for each child; a child that was given its volume has weight 0 from then
on, so that the rest is divided among the others.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.lot_limits import LotLimits
from apportion.allocation.domain.methods import RoundingPolicy
from apportion.allocation.domain.open_inputs import Rows
from apportion.money import (
    E8,
    INT64_MAX,
    Int64Array,
    Rounding,
    exact_sum,
    floor_residual,
    greatest,
    product_div,
    settle_nearest,
)

_GREATEST_LEVEL = 2**61
# A quotient of two integers is a float at most this part of it off, the rounding of the comparison included.
_DOUBT = 2.0**-49

Mask = NDArray[np.bool_]


class Claims(Protocol):
    """Claims to `rest` whole steps."""

    weights: Int64Array
    rest: int
    weight_sum: int

    def beyond(self) -> tuple[Rows, bool] | None:
        """Some whose claim surely lies above their bound (True), or some whose claim lies below 0.

        None: there are none. Only then the claims that the others tell of are those of now.
        """
        ...

    def below(self, min_steps: int) -> Mask:
        """Whose claim, rounded half up, is less than this."""
        ...

    def reaching(self, min_steps: int, factors_e8: Int64Array, rows: Rows) -> Mask:
        """Which of some rows claimed, of the whole volume at first and times a factor of each, at least this."""
        ...

    def parts(self, policy: RoundingPolicy, least_steps: int) -> Int64Array:
        """The claims in whole steps that add up to the rest; none above the bound if none claims more.

        NEAREST_LARGEST takes an excess from parts above `least_steps` while there are such.
        """
        ...

    def give(self, rows: Rows, steps: int) -> None:
        """So many steps are given away, and these rows claim no more."""
        ...


class Proportions:
    """weight ÷ Σ weights × rest. Bounds are compared with weights instead of claims: one comparison of integers."""

    def __init__(self, weights: Int64Array, steps: int, max_steps: int | Int64Array) -> None:
        self.weights = weights.copy()
        self._max_steps = max_steps
        self.rest = self._whole = steps
        self.weight_sum = self._whole_sum = exact_sum(weights)

    def beyond(self) -> tuple[Rows, bool] | None:
        max_steps = self._max_steps
        if not isinstance(max_steps, int):
            quotients, residuals = floor_residual(self.weights, self.rest, self.weight_sum)
            rows = np.flatnonzero((quotients > max_steps) | ((quotients == max_steps) & (residuals > 0)))
            return (rows, True) if rows.size else None
        # weight × rest ÷ sum > max exactly when weight > ⌊max × sum ÷ rest⌋.
        threshold = first = min(max_steps * self.weight_sum // self.rest, INT64_MAX)
        if int(self.weights.max()) <= threshold:
            return None
        # What is cut goes to the others, who may pass the bound then: found among the next smaller ones alone.
        near = self.weights[self.weights > first // 2]
        over_count = 0
        while (count := int(np.count_nonzero(over := near > threshold))) > over_count and threshold > first // 2:
            over_count = count
            weight_sum = self.weight_sum - exact_sum(near[over])
            if weight_sum == 0:
                break
            threshold = max_steps * weight_sum // (self.rest - count * max_steps)
        return np.flatnonzero(self.weights > threshold), True

    def below(self, min_steps: int) -> Mask:
        threshold = -(-(2 * min_steps - 1) * self.weight_sum // (2 * self.rest))
        mask: Mask = self.weights < min(threshold, INT64_MAX)
        return mask

    def reaching(self, min_steps: int, factors_e8: Int64Array, rows: Rows) -> Mask:
        columns = (self.weights[rows], factors_e8)
        return product_div(columns, self._whole, self._whole_sum * E8, Rounding.DOWN) >= min_steps

    def parts(self, policy: RoundingPolicy, least_steps: int) -> Int64Array:
        parts, residuals = floor_residual(self.weights, self.rest, self.weight_sum)
        if policy is RoundingPolicy.NEAREST_LARGEST:
            parts += residuals >= -(-self.weight_sum // 2)
            settle_nearest(parts, self.rest - int(parts.sum()), self.weights, most=self._max_steps, least=least_steps)
        else:
            parts += greatest(self.rest - int(parts.sum()), residuals, self.weights)
        return parts

    def give(self, rows: Rows, steps: int) -> None:
        self.rest -= steps
        self.weight_sum -= exact_sum(self.weights[rows])
        self.weights[rows] = 0


class Levels:
    """weight ÷ Σ weights × (rest + Σ had) − had, at least 0: water that fills vessels up to one level.

    Counted in units, a whole number of which makes a step: a claim is `units` + `fractions` ÷ Σ weights. Each vessel is
    dry below one level and full from another: floats of these tell who claims beyond his bounds, wherever the water
    stands, but for those too near it, whose claims are computed.
    """

    def __init__(self, weights: Int64Array, had_e8: Int64Array, steps: int, limits: LotLimits) -> None:
        self._limits, step_e8 = limits, limits.grid.step_e8
        self._had, self._step = had_e8 // step_e8, 1
        if (self._had * step_e8 != had_e8).any():
            unit_e8 = int(np.gcd(np.gcd.reduce(had_e8), step_e8))
            self._had, self._step = had_e8 // unit_e8, step_e8 // unit_e8
        self.weights = weights.copy()
        self.weight_sum = exact_sum(weights)
        # No sum of some of these leaves int64.
        had = self._had.astype(np.float64)
        if np.abs(had).sum() + steps * self._step >= _GREATEST_LEVEL or self.weight_sum > INT64_MAX:
            raise OverflowError("the volume to divide does not fit into int64")
        self.rest = steps
        self._had_sum = int(self._had.sum())
        self._first = self._total(), self.weight_sum
        # Nobody claims as much as twice the greatest level.
        bound = np.minimum(limits.max_steps * self._step, 2 * _GREATEST_LEVEL)
        with np.errstate(divide="ignore", invalid="ignore"):
            per_weight = np.reciprocal(weights, dtype=np.float64)
            self._dry = had * per_weight
            self._full = (self._had + bound) * per_weight

    def beyond(self) -> tuple[Rows, bool] | None:
        total = self._total()
        under, over = self._outside(total)
        if not (under.size or over.size):
            self._units, self._fractions = self._claimed(slice(None), total, self.weight_sum)
            return None
        if not (under.size and over.size):
            return (over, True) if over.size else (under, False)
        # Raising those under 0 lowers the level, cutting those over the bound lifts it. Only who is on the side that
        # outweighs the other stays there for sure.
        outside, most = np.concatenate((under, over)), self._limits.most(over)
        weight, had = int(self.weights[outside].sum()), int(self._had[outside].sum())
        bounds = (most * over.size if isinstance(most, int) else int(most.sum())) * self._step
        return (over, True) if weight * total > (had + bounds) * self.weight_sum else (under, False)

    def below(self, min_steps: int) -> Mask:
        mask: Mask = self._nearest() < min_steps
        return mask

    def reaching(self, min_steps: int, factors_e8: Int64Array, rows: Rows) -> Mask:
        units, fractions = self._claimed(rows, *self._first)
        # (units + fraction) × factor ÷ 1e8, cut down: the fraction's fraction cannot lift the sum to the next integer.
        whole, rest_e8 = floor_residual(units, factors_e8, E8)
        part_e8, _ = floor_residual(fractions, factors_e8, self._first[1])
        reaches: Mask = whole + (rest_e8 + part_e8) // E8 >= min_steps * self._step
        return reaches

    def parts(self, policy: RoundingPolicy, least_steps: int) -> Int64Array:
        if policy is RoundingPolicy.NEAREST_LARGEST:
            parts = self._nearest()
            missing = self.rest - int(parts.sum())
            settle_nearest(parts, missing, self._units, self._fractions, most=self._limits.max_steps, least=least_steps)
            return parts
        if self._step == 1:
            missing = self.rest - int(self._units.sum())
            return self._units + greatest(missing, self._fractions, self._units)
        parts, remainders = np.divmod(self._units, self._step)
        parts += greatest(self.rest - int(parts.sum()), remainders, self._fractions, self._units)
        return parts

    def give(self, rows: Rows, steps: int) -> None:
        self.rest -= steps
        self.weight_sum -= int(self.weights[rows].sum())
        self._had_sum -= int(self._had[rows].sum())
        self.weights[rows] = self._had[rows] = 0
        self._dry[rows] = self._full[rows] = np.nan  # Neither above nor below any level.

    def _total(self) -> int:
        """What there is and what they had."""
        return self.rest * self._step + self._had_sum

    def _claimed(self, rows: Rows | slice, total: int, weight_sum: int) -> tuple[Int64Array, Int64Array]:
        units, fractions = floor_residual(self.weights[rows], total, weight_sum)
        units -= self._had[rows]
        return units, fractions

    def _outside(self, total: int) -> tuple[Rows, Rows]:
        """Who claims less than 0, and who more than his bound."""
        level = float(Fraction(total, self.weight_sum))
        doubt = abs(level) * _DOUBT
        under = np.flatnonzero(self._dry > level - doubt)
        if under.size and self._dry[under].min() < level + doubt:
            under = under[self._claimed(under, total, self.weight_sum)[0] < 0]
        over = np.flatnonzero(self._full < level + doubt)
        if over.size and self._full[over].max() > level - doubt:
            units, fractions = self._claimed(over, total, self.weight_sum)
            over = over[units + (fractions > 0) > self._limits.most(over) * self._step]
        return under, over

    def _nearest(self) -> Int64Array:
        # Half a step or more is rounded up; of an odd step the half is half a unit.
        half_unit = self._fractions >= -(-self.weight_sum // 2)
        if self._step == 1:
            return self._units + half_unit
        nearest: Int64Array = (2 * self._units + (self._step + half_unit)) // (2 * self._step)
        return nearest
