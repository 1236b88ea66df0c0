"""What a trading server says of a symbol."""

from __future__ import annotations

from dataclasses import dataclass

from apportion.allocation.domain.grids import SymbolGrid

PRICE_DIGITS = 8
"""Prices are counted in 1e-8."""


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    name: str
    grid: SymbolGrid
    digits: int
    """Decimal digits of a price."""
    contract_size_e8: int
    """Units of the base asset in one lot, in 1e-8."""
    base_currency_code: str
    profit_currency_code: str
    margin_currency_code: str

    @property
    def point_e8(self) -> int:
        """What one point of its price is."""
        return int(10 ** (PRICE_DIGITS - self.digits))

    def prices_either(self, currency_code: str, other_code: str) -> bool:
        """Whether it is a pair of two currencies and one of them is one of these."""
        base, profit = self.base_currency_code, self.profit_currency_code
        return base != profit and (base in (currency_code, other_code) or profit in (currency_code, other_code))

    def trades_like(self, other: SymbolSpec) -> bool:
        """Whether a volume and a price mean the same of both, and this one has all volumes of the other up to its own
        max lot, and none between them, which a partial fill could be.
        """
        own = self.contract_size_e8, self.digits, self.grid.step_e8
        return (
            own == (other.contract_size_e8, other.digits, other.grid.step_e8) and self.grid.min_e8 <= other.grid.min_e8
        )
