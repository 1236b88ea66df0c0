"""What a trading server says of a symbol."""

from __future__ import annotations

from dataclasses import dataclass

from apportion.allocation.domain.grids import SymbolGrid


@dataclass(frozen=True, slots=True)
class SymbolSpec:
    name: str
    grid: SymbolGrid
    digits: int
    """Decimal digits of a price."""
    contract_size: int
    """Units of the base asset in one lot."""
    base_currency_code: str
    profit_currency_code: str
    margin_currency_code: str
