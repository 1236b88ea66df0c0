"""What each child of a dividing method may claim of the volume that is not given away yet, exactly.

A claim is judged exactly and rounded once, by these two: `Proportions` for plain weights, `Levels` for weights of which
each already has something. Both keep one row for each child; a child that was given its volume has weight 0 from then
on, so that the rest is divided among the others.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.methods import RoundingPolicy
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

Mask = NDArray[np.bool_]


class Claims(Protocol):
    """Claims to `rest` whole steps."""

    weights: Int64Array
    rest: int
    weight_sum: int

    def beyond(self, max_steps: int | Int64Array) -> tuple[Mask, int | Int64Array] | None:
        """Some whose claim surely lies outside 0 to `max_steps`, and the bound to give them; None: there are none."""
        ...

    def below(self, min_steps: int) -> Mask:
        """Whose claim, rounded half up, is less than this."""
        ...

    def reaching(self, min_steps: int, factors_e8: Int64Array, rows: NDArray[np.intp]) -> Mask:
        """Which of some rows claimed, of the whole volume at first and times a factor of each, at least this."""
        ...

    def parts(self, policy: RoundingPolicy, max_steps: int | Int64Array, least_steps: int) -> Int64Array:
        """The claims in whole steps that add up to the rest; none above the bound if none claims more.

        NEAREST_LARGEST takes an excess from parts above `least_steps` while there are such.
        """
        ...

    def give(self, rows: NDArray[np.intp], steps: int) -> None:
        """So many steps are given away, and these rows claim no more."""
        ...


class Proportions:
    """weight ÷ Σ weights × rest. Bounds are compared with weights instead of claims: one comparison of integers."""

    def __init__(self, weights: Int64Array, steps: int) -> None:
        self.weights = weights.copy()
        self.rest = self._whole = steps
        self.weight_sum = self._whole_sum = exact_sum(weights)

    def beyond(self, max_steps: int | Int64Array) -> tuple[Mask, int | Int64Array] | None:
        if not isinstance(max_steps, int):
            quotients, residuals = floor_residual(self.weights, self.rest, self.weight_sum)
            over = (quotients > max_steps) | ((quotients == max_steps) & (residuals > 0))
            return (over, max_steps) if over.any() else None
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
        return self.weights > threshold, max_steps

    def below(self, min_steps: int) -> Mask:
        threshold = -(-(2 * min_steps - 1) * self.weight_sum // (2 * self.rest))
        mask: Mask = self.weights < min(threshold, INT64_MAX)
        return mask

    def reaching(self, min_steps: int, factors_e8: Int64Array, rows: NDArray[np.intp]) -> Mask:
        columns = (self.weights[rows], factors_e8)
        return product_div(columns, self._whole, self._whole_sum * E8, Rounding.DOWN) >= min_steps

    def parts(self, policy: RoundingPolicy, max_steps: int | Int64Array, least_steps: int) -> Int64Array:
        parts, residuals = floor_residual(self.weights, self.rest, self.weight_sum)
        if policy is RoundingPolicy.NEAREST_LARGEST:
            parts += residuals >= -(-self.weight_sum // 2)
            settle_nearest(parts, self.rest - int(parts.sum()), self.weights, most=max_steps, least=least_steps)
        else:
            parts += greatest(self.rest - int(parts.sum()), residuals, self.weights)
        return parts

    def give(self, rows: NDArray[np.intp], steps: int) -> None:
        self.rest -= steps
        self.weight_sum -= exact_sum(self.weights[rows])
        self.weights[rows] = 0


class Levels:
    """weight ÷ Σ weights × (rest + Σ had) − had, at least 0: water that fills vessels up to one level.

    Counted in units, a whole number of which makes a step: a claim is `units` + `fractions` ÷ Σ weights.
    """

    def __init__(self, weights: Int64Array, had_e8: Int64Array, steps: int, step_e8: int) -> None:
        unit_e8 = int(np.gcd(np.gcd.reduce(had_e8), step_e8))
        self.weights = weights.copy()
        self._had = had_e8 // unit_e8
        self._step = step_e8 // unit_e8
        self.rest = steps
        self.weight_sum = exact_sum(weights)
        self._had_sum = exact_sum(self._had)
        self._units = self._fractions = self._had
        if self.weight_sum:
            self._fill()
        self._first = self._units, self._fractions, self.weight_sum

    def beyond(self, max_steps: int | Int64Array) -> tuple[Mask, int | Int64Array] | None:
        bound = max_steps * self._step
        if int(self._units.min()) >= 0 and (self._units < bound).all():
            return None
        under = self._units < 0
        over = (self._units > bound) | ((self._units == bound) & (self._fractions > 0))
        if not over.any():
            return (under, 0) if under.any() else None
        if not under.any():
            return over, max_steps
        # Raising those under 0 lowers the level, cutting those over the bound lifts it. Only who is on the side that
        # outweighs the other stays there for sure.
        units = exact_sum(self._units - np.clip(self._units, 0, bound))
        is_lowered = units * self.weight_sum + exact_sum(self._fractions[under | over]) <= 0
        return (under, 0) if is_lowered else (over, max_steps)

    def below(self, min_steps: int) -> Mask:
        mask: Mask = self._nearest() < min_steps
        return mask

    def reaching(self, min_steps: int, factors_e8: Int64Array, rows: NDArray[np.intp]) -> Mask:
        units, fractions, weight_sum = self._first
        # (units + fraction) × factor ÷ 1e8, cut down: the fraction's fraction cannot lift the sum to the next integer.
        whole, rest_e8 = floor_residual(units[rows], factors_e8, E8)
        part_e8, _ = floor_residual(fractions[rows], factors_e8, weight_sum)
        reaches: Mask = whole + (rest_e8 + part_e8) // E8 >= min_steps * self._step
        return reaches

    def parts(self, policy: RoundingPolicy, max_steps: int | Int64Array, least_steps: int) -> Int64Array:
        if policy is RoundingPolicy.NEAREST_LARGEST:
            parts = self._nearest()
            missing = self.rest - int(parts.sum())
            settle_nearest(parts, missing, self._units, self._fractions, most=max_steps, least=least_steps)
            return parts
        if self._step == 1:
            missing = self.rest - int(self._units.sum())
            return self._units + greatest(missing, self._fractions, self._units)
        parts, remainders = np.divmod(self._units, self._step)
        parts += greatest(self.rest - int(parts.sum()), remainders, self._fractions, self._units)
        return parts

    def give(self, rows: NDArray[np.intp], steps: int) -> None:
        self.rest -= steps
        self.weight_sum -= exact_sum(self.weights[rows])
        self._had_sum -= exact_sum(self._had[rows])
        self.weights[rows] = self._had[rows] = 0
        if self.weight_sum and self.rest:
            self._fill()

    def _fill(self) -> None:
        total = self.rest * self._step + self._had_sum
        if max(abs(total), int(self._had.max()), -int(self._had.min())) >= _GREATEST_LEVEL:
            raise OverflowError("the volume to divide does not fit into int64")
        units, self._fractions = floor_residual(self.weights, total, self.weight_sum)
        self._units = units - self._had

    def _nearest(self) -> Int64Array:
        # Half a step or more is rounded up; of an odd step the half is half a unit.
        half_unit = self._fractions >= -(-self.weight_sum // 2)
        if self._step == 1:
            return self._units + half_unit
        steps, remainders = np.divmod(self._units, self._step)
        half = self._step // 2
        up = (remainders > half) | ((remainders == half) & half_unit) if self._step % 2 else remainders >= half
        nearest: Int64Array = steps + up
        return nearest
