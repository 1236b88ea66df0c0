"""The volume grid of a symbol: everything is counted in whole lot steps, never rounded by decimals."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SymbolGrid:
    """Volumes in 1e-8 lot; the step is above 0."""

    step_e8: int
    min_e8: int
    max_e8: int

    @property
    def min_steps(self) -> int:
        """The fewest steps that reach the min lot; at least 1."""
        return max(1, -(-self.min_e8 // self.step_e8))

    @property
    def max_steps(self) -> int:
        """The most steps within the max lot."""
        return self.max_e8 // self.step_e8

    def holds(self, volume_e8: int) -> bool:
        """Whether a signed volume is a whole number of steps, and not 0."""
        return volume_e8 != 0 and volume_e8 % self.step_e8 == 0
