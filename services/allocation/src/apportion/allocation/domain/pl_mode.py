"""Profit instead of trades: a pooled master's profit, swap and commission distributed by proportions, to the cent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.fairness import exact_shares_e8, takers
from apportion.allocation.domain.gates import dividing_weights
from apportion.allocation.domain.methods import AllocationMethod, RoundingPolicy
from apportion.allocation.domain.open_inputs import OpenInputs
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.shares import PERCENT_E8
from apportion.money import E8, Int64Array, exact_sum, largest_remainder, mul_div_floor, nearest_largest

E9 = 1_000_000_000
NOMINAL_STEP_E8 = E8 // 100


def proportions_e9(inputs: OpenInputs, reasons: NDArray[np.int8]) -> Int64Array:
    """Each subscription's share ÷ M with 9 decimals, largest remainder; 0 for who takes no part.

    `reasons` are those of the decision. They add up to 1 where the method gives all of M to somebody.
    """
    proportions = np.zeros(len(inputs.subscriptions), dtype=np.int64)
    rows = takers(inputs, reasons)
    weights = dividing_weights(inputs)
    if weights is None:
        raise TypeError(f"{inputs.method.name} divides nothing")
    if inputs.method is AllocationMethod.EQUAL_RISK:
        weights = exact_shares_e8(inputs, reasons)
    weights = weights[rows]
    weight_sum = exact_sum(weights)
    if weight_sum:
        spare = PERCENT_E8 - weight_sum if inputs.method is AllocationMethod.DIVIDE_BY_PERCENT else 0
        proportions[rows] = largest_remainder(E9, np.append(weights, max(spare, 0)))[:-1]
    return proportions


def reasons_of_records(reasons: NDArray[np.int8], proportions: Int64Array) -> NDArray[np.int8]:
    """The reasons of a decision whose rows hold records: who has one is not left out, whatever the lots would be."""
    return np.where(proportions > 0, np.int8(SkipReason.NONE), reasons)


def virtual_volumes_e8(volume_e8: int, proportions: Int64Array) -> Int64Array:
    """What the artificial records stand for: the magnitude of a volume × each proportion, cut down to 1e-8 lot."""
    return mul_div_floor(proportions, abs(volume_e8), E9)


def nominal_volume_e8(virtual_e8: int) -> int:
    """What a record shows of its signed virtual volume: cut down to 0.01 lot."""
    magnitude_e8 = abs(virtual_e8) // NOMINAL_STEP_E8 * NOMINAL_STEP_E8
    return magnitude_e8 if virtual_e8 > 0 else -magnitude_e8


def distribute_minor(total_minor: int, proportions: Int64Array, rule: RoundingPolicy, *, whole: int = E9) -> Int64Array:
    """A signed amount by proportions (parts of `whole`) to the minor unit, by NEAREST_LARGEST or LARGEST_REMAINDER.

    The parts add up to the total, and where the proportions add up to less than 1, so much of it stays with nobody.
    """
    spare = whole - exact_sum(proportions)
    if spare < 0:
        raise ValueError("proportions add up to more than 1")
    split = nearest_largest if rule is RoundingPolicy.NEAREST_LARGEST else largest_remainder
    return split(total_minor, np.append(proportions, spare))[:-1]
