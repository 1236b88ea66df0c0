"""The decision when a master trade opens: inputs in, columns out; the same bits on every machine.

Who takes part is decided first (the gates), then the kernel of the method's family makes whole lot steps of the exact
shares and applies the limits.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.copying import copy, copy_with_carry
from apportion.allocation.domain.dividing import divide_among
from apportion.allocation.domain.gates import gate
from apportion.allocation.domain.lot_limits import limits_of
from apportion.allocation.domain.methods import FAMILIES, Family, RoundingPolicy
from apportion.allocation.domain.open_inputs import NO_COLUMN, OpenInputs
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.shares import shares_of
from apportion.money import Int64Array, Rounding, exact_sum


@dataclass(frozen=True, slots=True)
class Decision:
    """Columns of one length in login order."""

    steps: Int64Array
    """Lot steps, 0 or above, in the master's direction or, for reversed subscriptions, against it."""
    reasons: NDArray[np.int8]
    """Values of SkipReason."""
    carries_e8: Int64Array = field(default_factory=lambda: NO_COLUMN)
    """What each is owed from rounding now; empty unless the policy is CARRY."""


def decide_open(inputs: OpenInputs) -> Decision:
    """The volume of each child. Of a deriving method the master's volume is their sum, whatever the inputs' says.

    Postconditions: no step is below 0, a dividing method never hands out more than there is, and its carries add up to
    what they were.
    """
    reasons = gate(inputs)
    is_dividing = FAMILIES[inputs.method] is Family.DIVIDING
    steps, carries_e8 = divide_among(inputs, reasons) if is_dividing else _copy_to_all(inputs, reasons)
    if int(steps.min(initial=0)) < 0 or (is_dividing and exact_sum(steps) > inputs.master_steps):
        raise AssertionError(f"a kernel broke its promise: {exact_sum(steps)} steps of {inputs.master_steps}")
    return Decision(steps, reasons, carries_e8)


def _copy_to_all(inputs: OpenInputs, reasons: NDArray[np.int8]) -> tuple[Int64Array, Int64Array]:
    """As `divide_among`, each child alone."""
    steps, limits = np.zeros(len(inputs.subscriptions), dtype=np.int64), limits_of(inputs)
    carries_e8 = inputs.figures.carries_e8.copy() if inputs.rounding is RoundingPolicy.CARRY else NO_COLUMN
    rounding = Rounding.DOWN if inputs.rounding is RoundingPolicy.DOWN else Rounding.HALF_UP
    for rows, share in shares_of(inputs, np.flatnonzero(reasons == SkipReason.NONE.value)):
        if inputs.rounding is RoundingPolicy.CARRY:
            steps[rows], reasons[rows], carries_e8[rows] = copy_with_carry(share, limits.of(rows), carries_e8[rows])
        else:
            steps[rows], reasons[rows] = copy(share, limits.of(rows), rounding)
    return steps, carries_e8
