"""The decision when a master trade closes: how much of each child follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import FAMILIES, AllocationMethod, Family
from apportion.money import Int64Array, Rounding, exact_sum, largest_remainder, mul_div, mul_div_half_up


@dataclass(frozen=True, slots=True)
class CloseInputs:
    """Everything that the decision depends on, as it is stored with it."""

    method: AllocationMethod
    grid: SymbolGrid
    closed_e8: int
    """How much the master closed, above 0."""
    before_e8: int
    """How much was open on the master before; at least what he closed."""
    open_volumes_e8: Int64Array
    """What each child still has to follow with, 0 or above: its investor's own closes are no longer in it."""


def decide_close(inputs: CloseInputs) -> Int64Array:
    """1e-8 lots to close of each child, at most what it has open.

    A full close closes everything. A partial close of a dividing method closes, in sum, the same fraction of the
    children as the master closed (exactly the master's volume while nobody was rejected or stopped out), split by what
    is open with the largest remainder. A copied child alone closes its open volume × the fraction, half up; a part
    below min lot waits, and so does what would leave less than min lot open, for the master's last part.
    """
    open_e8 = inputs.open_volumes_e8
    if inputs.closed_e8 >= inputs.before_e8:
        return open_e8.copy()
    step_e8 = inputs.grid.step_e8
    open_steps = open_e8 // step_e8
    if FAMILIES[inputs.method] is Family.DIVIDING:
        closing = _divided(open_steps, inputs)
    else:
        closing = _copied(open_steps, inputs)
    closing_e8: Int64Array = closing * step_e8
    if (closing_e8 < 0).any() or (closing_e8 > open_e8).any():
        raise AssertionError("a child cannot close less than nothing or more than it has open")
    return closing_e8


def _divided(open_steps: Int64Array, inputs: CloseInputs) -> Int64Array:
    open_sum = exact_sum(open_steps)
    if open_sum == 0:
        return np.zeros_like(open_steps)
    total = mul_div(open_sum, inputs.closed_e8, inputs.before_e8, Rounding.HALF_UP)
    # total ≤ Σ open, so no share passes its open volume, and a remainder only lifts a share that is below it.
    return largest_remainder(total, open_steps)


def _copied(open_steps: Int64Array, inputs: CloseInputs) -> Int64Array:
    closing = mul_div_half_up(open_steps, inputs.closed_e8, inputs.before_e8)
    min_steps = inputs.grid.min_steps
    rest = open_steps - closing
    leaves_too_little = (rest > 0) & (rest < min_steps)
    closing = np.where(leaves_too_little, np.maximum(open_steps - min_steps, 0), closing)
    return np.where((closing < min_steps) & (closing < open_steps), 0, closing)
