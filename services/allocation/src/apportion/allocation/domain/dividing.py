"""The kernel of the dividing methods: the children add up to the master, by a named rounding policy.

Limits divide anew: whoever claims more than max lot is given that, whoever's claim rounds to less than min lot is left
out (or given min lot), and the rest of the volume is divided among the others by the same policy, until nothing
changes. What nobody can take stays unallocated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.claims import Claims, Levels, Mask, Proportions
from apportion.allocation.domain.gates import dividing_weights
from apportion.allocation.domain.lot_limits import LotLimits, limits_of
from apportion.allocation.domain.margins import falling_out
from apportion.allocation.domain.methods import AllocationMethod, RoundingPolicy
from apportion.allocation.domain.open_inputs import NO_COLUMN, OpenInputs
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.shares import PERCENT_E8
from apportion.money import Int64Array, exact_sum, greatest, largest_remainder

Reasons = NDArray[np.int8]


def divide_among(inputs: OpenInputs, reasons: Reasons) -> tuple[Int64Array, Int64Array]:
    """Steps, and what they are owed (CARRY only, else empty), of all subscriptions.

    Those without a reason yet take part; `reasons` gets theirs.
    """
    weights = dividing_weights(inputs)
    if weights is None:
        raise TypeError(f"{inputs.method.name} divides nothing")
    weights, limits = weights * (reasons == SkipReason.NONE.value), limits_of(inputs)
    if inputs.method is AllocationMethod.EQUAL_RISK:
        steps = _divide_by_risk(inputs, weights, limits, reasons)
    elif inputs.method is AllocationMethod.DIVIDE_BY_PERCENT and (spare := PERCENT_E8 - exact_sum(weights)) > 0:
        steps = _divide_part(inputs, weights, spare, limits, reasons)
    else:
        steps = divide(_claims(inputs, weights, inputs.master_steps, limits), limits, inputs.rounding, reasons)
    if inputs.rounding is not RoundingPolicy.CARRY:
        return steps, NO_COLUMN
    return steps, _owed(inputs, weights, steps, reasons)


def divide(claims: Claims, limits: LotLimits, policy: RoundingPolicy, reasons: Reasons) -> Int64Array:
    """Steps of children, in sum at most what is claimed. `reasons` gets those of the children that claim something."""
    min_steps = limits.grid.min_steps
    steps = np.zeros(claims.weights.shape, dtype=np.int64)
    has_lower_limit = min_steps > 1 or limits.round_up
    while claims.rest and claims.weight_sum:
        if beyond := claims.beyond():
            given, is_above = beyond
            if is_above:
                steps[given] = limits.most(given)
                reasons[given] = SkipReason.CAPPED
            claims.give(given, exact_sum(steps[given]) if is_above else 0)
        elif not (has_lower_limit and _leave(claims, limits, claims.below(min_steps), steps)):
            parts = claims.parts(policy, min_steps if min_steps > 1 else 0)
            if not (has_lower_limit and _leave(claims, limits, parts < min_steps, steps, parts)):
                steps += parts
                break
    empty = np.flatnonzero(steps == 0)
    reasons[empty[reasons[empty] == SkipReason.NONE.value]] = SkipReason.BELOW_MIN_LOT
    return steps


def _leave(claims: Claims, limits: LotLimits, below: Mask, steps: Int64Array, parts: Int64Array | None = None) -> bool:
    """Takes out who is below min lot and frees volume by it (once there are parts: his own); gives min lot to who may
    have it. Whether anybody was.
    """
    min_steps = limits.grid.min_steps
    below &= claims.weights > 0
    rows = np.flatnonzero(below)
    if not rows.size:
        return False
    lifted, factors_e8 = limits.liftable(rows)
    if lifted.size:
        lifted = lifted[claims.reaching(min_steps, factors_e8, lifted)]
    if min_steps == 1:
        rows = lifted  # The others have nothing to free.
    elif parts is not None:
        below &= parts > 0
        below[lifted] = True
        rows = np.flatnonzero(below)
    if not rows.size:
        return False
    # As many as there is volume for: the greater weight first, then the lower login.
    affordable = claims.rest // min_steps
    if lifted.size > affordable:
        lifted = lifted[greatest(affordable, claims.weights[lifted])]
    steps[lifted] = min_steps
    claims.give(rows, int(lifted.size) * min_steps)
    return True


def _claims(inputs: OpenInputs, weights: Int64Array, steps: int, limits: LotLimits) -> Claims:
    if inputs.rounding is RoundingPolicy.CARRY:
        # What one is owed he has too little.
        had_e8 = np.where(weights > 0, -inputs.figures.carries_e8, 0)
        return Levels(weights, had_e8, steps, limits)
    return Proportions(weights, steps, limits.max_steps)


def _divide_part(
    inputs: OpenInputs, weights: Int64Array, spare: int, limits: LotLimits, reasons: Reasons
) -> Int64Array:
    """Percents of less than 100 in sum: what is spare is nobody's, and is rounded as if it were somebody's.

    It takes nothing of what limits set free.
    """
    everybody = Proportions(np.append(weights, spare), inputs.master_steps, inputs.master_steps)
    parts = everybody.parts(inputs.rounding, 0)
    steps = parts[:-1]
    is_refused = (steps > limits.max_steps) | ((steps < limits.grid.min_steps) & (steps > 0))
    if is_refused.any() or limits.round_up or inputs.rounding is RoundingPolicy.CARRY:
        claims = _claims(inputs, weights, inputs.master_steps - int(parts[-1]), limits)
        return divide(claims, limits, inputs.rounding, reasons)
    reasons[(steps == 0) & (weights > 0)] = SkipReason.BELOW_MIN_LOT
    return steps


def _divide_by_risk(inputs: OpenInputs, weights: Int64Array, limits: LotLimits, reasons: Reasons) -> Int64Array:
    """Divided again without those whose margin level would fall too low by it, until nobody's does."""
    step_e8 = inputs.grid.step_e8
    while True:
        reasons_after = reasons.copy()
        had_e8 = inputs.figures.held_e8 * (weights > 0)
        claims = Levels(weights, had_e8, inputs.master_steps, limits)
        steps = divide(claims, limits, inputs.rounding, reasons_after)
        falling = falling_out(inputs, steps > 0, steps * step_e8)  # Who gets nothing was judged before.
        if not falling.size:
            reasons[:] = reasons_after
            return steps
        reasons[falling] = SkipReason.MARGIN_GATE
        weights[falling] = 0


def _owed(inputs: OpenInputs, weights: Int64Array, steps: Int64Array, reasons: Reasons) -> Int64Array:
    """What was owed + the exact share of what was handed out − what one got; of those cut by max lot as it was.

    Adds up to what it added up to before.
    """
    owed_e8 = inputs.figures.carries_e8.copy()
    uncut = np.flatnonzero((weights > 0) & (reasons != SkipReason.CAPPED.value))
    if uncut.size:
        got_e8 = steps[uncut] * inputs.grid.step_e8
        owed_e8[uncut] += largest_remainder(exact_sum(got_e8), weights[uncut]) - got_e8
    return owed_e8
