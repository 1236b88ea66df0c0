"""Everything that the decision on an opening master trade depends on, as it is stored with it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod, RoundingPolicy
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.subscription_sets import SubscriptionSet
from apportion.money import INT64_MIN, Int64Array

UNKNOWN_BASIS = INT64_MIN
"""Stands for a figure of an account whose state was missing or too old."""

Rows = NDArray[np.intp]
"""Places in the columns."""

NO_COLUMN: Int64Array = np.empty(0, dtype=np.int64)
NO_REASONS: NDArray[np.int8] = np.empty(0, dtype=np.int8)


def _no_column() -> Int64Array:
    return NO_COLUMN


def _no_reasons() -> NDArray[np.int8]:
    return NO_REASONS


@dataclass(frozen=True, slots=True)
class Figures:
    """Further figures of the subscriptions' accounts: columns in login order, empty where `needs` asks for none."""

    margins: Int64Array = field(default_factory=_no_column)
    """Used margin in minor units; UNKNOWN_BASIS."""
    leverages: Int64Array = field(default_factory=_no_column)
    """100 for 1:100; 0 or UNKNOWN_BASIS where it is not known."""
    held_e8: Int64Array = field(default_factory=_no_column)
    """Volume already allocated to each in open trades of this symbol and direction: a magnitude, 0 or above."""
    carries_e8: Int64Array = field(default_factory=_no_column)
    """What each is owed from earlier rounding (above 0) or got too much, in 1e-8 lot of this symbol."""


@dataclass(frozen=True, slots=True)
class OpenInputs:
    """Columns are in login order."""

    method: AllocationMethod
    rounding: RoundingPolicy
    grid: SymbolGrid
    master_volume_e8: int
    """Signed: above 0 buys."""
    master_basis: int
    """0 where the method uses none; UNKNOWN_BASIS."""
    subscriptions: SubscriptionSet
    bases: Int64Array
    """The figure that the method divides or copies by (`BASES`), of each subscription; empty where it uses none."""
    blanket_reason: SkipReason = SkipReason.NONE
    """Keeps everybody out: the master is halted, or the trade is too old."""
    gate_reasons: NDArray[np.int8] = field(default_factory=_no_reasons)
    """Why single subscriptions are kept out by their settings; NONE: they are not. Empty: nobody is."""
    caps_e8: Int64Array = field(default_factory=_no_column)
    """The most that each may get by its own limits, 0 or above; empty: no limits but those of the grid."""
    figures: Figures = field(default_factory=Figures)
    contract_size_e8: int = 0
    """Units of one lot, in 1e-8; 0: not known."""
    conversion_e8: int = 0
    """Price of one unit of the margin currency in the currency of the accounts; 0: not known."""
    currency_digits: int = 2
    """Of the accounts' currency on their trading server: 10^digits minor units are one unit."""

    @property
    def volume_e8(self) -> int:
        """The magnitude of the master's volume."""
        return abs(self.master_volume_e8)

    @property
    def master_steps(self) -> int:
        """The master's volume in whole steps; what is left over (only after a change of the grid) is not divided."""
        return self.volume_e8 // self.grid.step_e8
