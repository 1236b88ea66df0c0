"""The decision when a master trade opens: inputs in, columns out; the same bits on every machine.

Who takes part is decided first (the gates), then the kernel of the method's family makes whole lot steps of the exact
shares and applies the limits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.copying import copy
from apportion.allocation.domain.dividing import divide
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import BASES, FAMILIES, AllocationMethod, Basis, Family, RoundingPolicy
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.shares import Share
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.money import INT64_MIN, Int64Array, exact_sum

UNKNOWN_BASIS = INT64_MIN
"""Stands for the figure of an account whose state was missing or too old."""

Kernel = Callable[[Share, SymbolGrid, RoundingPolicy], tuple[Int64Array, NDArray[np.int8]]]
KERNELS: Mapping[Family, Kernel] = {Family.DIVIDING: divide, Family.COPYING: copy}


@dataclass(frozen=True, slots=True)
class OpenInputs:
    """Everything that the decision depends on, as it is stored with it."""

    method: AllocationMethod
    rounding: RoundingPolicy
    grid: SymbolGrid
    master_volume_e8: int
    """Signed: above 0 buys."""
    master_basis: int
    """0 where the method uses none; UNKNOWN_BASIS."""
    subscriptions: SubscriptionSet
    bases: Int64Array
    """One for each subscription, or empty where the method uses none."""
    blanket_reason: SkipReason = SkipReason.NONE
    """Keeps everybody out: the master is halted, or the trade is too old."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Columns of one length in login order."""

    steps: Int64Array
    """Lot steps in the master's direction, 0 or above."""
    reasons: NDArray[np.int8]
    """Values of SkipReason."""


def decide_open(inputs: OpenInputs) -> Decision:
    """The volume of each child.

    Postconditions: no step is below 0, and a dividing method never hands out more than there is.
    """
    reasons = gate(inputs)
    steps = np.zeros(len(inputs.subscriptions), dtype=np.int64)
    rows = np.flatnonzero(reasons == SkipReason.NONE)
    family = FAMILIES[inputs.method]
    if rows.size:
        steps[rows], reasons[rows] = KERNELS[family](share_of(inputs, rows), inputs.grid, inputs.rounding)
    handed_out = int(steps.sum())
    if int(steps.min(initial=0)) < 0 or (family is Family.DIVIDING and handed_out > master_steps(inputs)):
        raise AssertionError(f"a kernel broke its promise: {handed_out} steps of {master_steps(inputs)}")
    return Decision(steps, reasons)


def has_zero_base(inputs: OpenInputs) -> bool:
    """Whether somebody is active, but the figures to compute shares from are known and not above 0."""
    if BASES[inputs.method] is Basis.NONE or not inputs.subscriptions.active.any():
        return False
    if FAMILIES[inputs.method] is Family.COPYING:
        return inputs.master_basis != UNKNOWN_BASIS and inputs.master_basis <= 0
    bases = inputs.bases[inputs.subscriptions.active]
    return not (bases > 0).any() and not (bases == UNKNOWN_BASIS).any()


def master_steps(inputs: OpenInputs) -> int:
    """The master's volume in whole steps; what is left over (only after a change of the grid) is not divided."""
    return abs(inputs.master_volume_e8) // inputs.grid.step_e8


def gate(inputs: OpenInputs) -> NDArray[np.int8]:
    """Why each subscription takes no part; NONE where it does."""
    subscriptions = inputs.subscriptions
    reasons = np.full(len(subscriptions), inputs.blanket_reason, dtype=np.int8)
    if inputs.blanket_reason is SkipReason.NONE and BASES[inputs.method] is not Basis.NONE:
        reasons[inputs.bases <= 0] = SkipReason.NO_EQUITY
        reasons[inputs.bases == UNKNOWN_BASIS] = SkipReason.STALE_STATE
        if FAMILIES[inputs.method] is Family.COPYING and inputs.master_basis <= 0:
            stale = inputs.master_basis == UNKNOWN_BASIS
            reasons[:] = SkipReason.STALE_STATE if stale else SkipReason.NO_EQUITY
    reasons[~subscriptions.active] = SkipReason.INACTIVE
    return reasons


def share_of(inputs: OpenInputs, rows: NDArray[np.intp]) -> Share:
    """The exact shares of the given rows in units of 1e-8 lot, not yet rounded."""
    subscriptions = inputs.subscriptions
    volume_e8 = abs(inputs.master_volume_e8)
    round_up = subscriptions.round_up_to_min[rows]
    bases = inputs.bases[rows] if inputs.bases.size else None
    if FAMILIES[inputs.method] is Family.DIVIDING and bases is not None:
        return Share(volume_e8, bases, None, exact_sum(bases), round_up)
    divisor = inputs.master_basis if bases is not None else 1
    return Share(volume_e8, bases, subscriptions.ratios_e8[rows], divisor, round_up)
