"""The decision when a master trade closes: how much of each child follows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import FAMILIES, AllocationMethod, Family
from apportion.money import Int64Array, Rounding, exact_sum, greatest, largest_remainder, mul_div, mul_div_half_up


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
    close_small_rests: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    """Whose child is closed whole as soon as less than min lot would be left of it; empty: nobody's."""


def decide_close(inputs: CloseInputs) -> Int64Array:
    """1e-8 lots to close of each child, at most what it has open.

    A full close closes everything. A partial close of a dividing method closes, in sum, the same fraction of the
    children as the master closed (exactly the master's volume while nobody was rejected or stopped out), split by what
    is open with the largest remainder. Any other child closes its open volume × the fraction alone, half up.

    What would leave less than min lot open leaves min lot for the master's last part, or takes the whole child at once
    where its subscription says so; a part below min lot waits. What dividing methods cannot close of such a child, or
    close too much, the others close more or less: their sum falls short only by what nobody could close and keep min
    lot, and passes the master's only by children that go whole.
    """
    open_e8 = inputs.open_volumes_e8
    if inputs.closed_e8 >= inputs.before_e8:
        return open_e8.copy()
    step_e8 = inputs.grid.step_e8
    open_steps = open_e8 // step_e8
    if FAMILIES[inputs.method] is Family.DIVIDING:
        closing = _divided(open_steps, inputs)
    else:
        closing = mul_div_half_up(open_steps, inputs.closed_e8, inputs.before_e8)
        closing = _allowed(closing, open_steps, inputs)
    closing_e8: Int64Array = closing * step_e8
    if (closing_e8 < 0).any() or (closing_e8 > open_e8).any():
        raise AssertionError("a child cannot close less than nothing or more than it has open")
    return closing_e8


def _divided(open_steps: Int64Array, inputs: CloseInputs) -> Int64Array:
    closing = np.zeros_like(open_steps)
    weights, open_sum = open_steps.copy(), exact_sum(open_steps)
    rest = mul_div(open_sum, inputs.closed_e8, inputs.before_e8, Rounding.HALF_UP)
    while rest > 0 and open_sum:
        # No part passes its open volume, and a remainder only lifts a part that is below it.
        parts = largest_remainder(min(rest, open_sum), weights)
        settled = _allowed(parts, weights, inputs)
        fixed = np.flatnonzero(settled != parts)
        if not fixed.size:
            closing += parts
            rest -= exact_sum(parts)
            break
        closing[fixed] = settled[fixed]
        rest -= exact_sum(settled[fixed])
        open_sum -= exact_sum(weights[fixed])
        weights[fixed] = 0
    return closing + _closable(rest, closing, open_steps, inputs.grid.min_steps) if rest > 0 else closing


def _closable(rest: int, closing: Int64Array, open_steps: Int64Array, min_steps: int) -> Int64Array:
    """What of the rest can be closed in addition when everybody's own part was settled, leaving min lot everywhere.

    It goes to those who close a part already, by how much more they can; then to those whose own part was below min
    lot: as many of the largest as min lots fit into it.
    """
    more = _filled(rest, np.where(closing >= min_steps, open_steps - closing - min_steps, 0))
    rest -= exact_sum(more)
    closing = closing + more
    untouched = np.flatnonzero((closing == 0) & (open_steps >= 2 * min_steps))
    count = min(rest // min_steps, untouched.size)
    if not count:
        return more
    begun = untouched[greatest(count, open_steps[untouched])]
    more[begun] = min_steps
    more[begun] += _filled(rest - count * min_steps, open_steps[begun] - 2 * min_steps)
    return more


def _filled(rest: int, rooms: Int64Array) -> Int64Array:
    """The rest by how much room each has (below 0: none), at most that."""
    rooms = np.maximum(rooms, 0)
    return rooms if exact_sum(rooms) <= rest else largest_remainder(rest, rooms)


def _allowed(closing: Int64Array, open_steps: Int64Array, inputs: CloseInputs) -> Int64Array:
    """Nothing, the whole child, or a part that is at least min lot and leaves at least min lot."""
    min_steps = inputs.grid.min_steps
    if min_steps == 1:
        return closing
    small_rest = (closing > 0) & (closing < open_steps) & (open_steps - closing < min_steps)
    at_once = inputs.close_small_rests if inputs.close_small_rests.size else False
    closing = np.where(small_rest, np.where(at_once, open_steps, np.maximum(open_steps - min_steps, 0)), closing)
    return np.where((closing < min_steps) & (closing < open_steps), 0, closing)
