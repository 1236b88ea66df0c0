"""Between which volumes each child may be."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.open_inputs import NO_COLUMN, OpenInputs, Rows
from apportion.money import Int64Array


@dataclass(frozen=True, slots=True)
class LotLimits:
    """The limits of some rows, in lot steps."""

    grid: SymbolGrid
    max_steps: int | Int64Array
    """One for all, or one for each row."""
    round_up_factors_e8: Int64Array = field(default_factory=lambda: NO_COLUMN)
    """By settings: how many times its share min lot may be; 0: it must not. Empty: for nobody."""
    settings_rows: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    """Which settings each row has."""

    @property
    def round_up(self) -> bool:
        """Whether anybody may get min lot instead of a smaller share."""
        return bool(self.round_up_factors_e8.size)

    def most(self, rows: Rows) -> int | Int64Array:
        """The most steps of each of these rows, or of all."""
        return self.max_steps if isinstance(self.max_steps, int) else self.max_steps[rows]

    def of(self, rows: Rows) -> LotLimits:
        """The limits of some of these rows."""
        settings_rows = self.settings_rows[rows] if self.round_up else self.settings_rows
        return LotLimits(self.grid, self.most(rows), self.round_up_factors_e8, settings_rows)

    def liftable(self, rows: Rows) -> tuple[Rows, Int64Array]:
        """Who of these rows wants min lot instead of less, and may have it by his own limit; with his factor."""
        if not self.round_up:
            return rows[:0], NO_COLUMN
        factors_e8 = self.round_up_factors_e8[self.settings_rows[rows]]
        may = (factors_e8 > 0) & np.greater(self.most(rows), 0)
        return rows[may], factors_e8[may]


def limits_of(inputs: OpenInputs) -> LotLimits:
    """The limits of all rows: the symbol's and their own. Whoever's most is below min lot gets nothing."""
    subscriptions, grid = inputs.subscriptions, inputs.grid
    max_steps: int | Int64Array = grid.max_steps if grid.max_steps >= grid.min_steps else 0
    if inputs.caps_e8.size:
        own = np.minimum(inputs.caps_e8 // grid.step_e8, grid.max_steps)
        max_steps = np.where(own < grid.min_steps, 0, own)
    factors_e8 = [settings.round_up_factor_e8 for settings in subscriptions.profiles]
    if not any(factors_e8):
        return LotLimits(grid, max_steps)
    return LotLimits(grid, max_steps, np.array(factors_e8, dtype=np.int64), subscriptions.profile_rows)
