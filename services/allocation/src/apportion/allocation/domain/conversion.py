"""What one unit of a currency is worth in another, by the quotes of a trading server."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from apportion.money import E8, Rounding, mul_div


@dataclass(frozen=True, slots=True)
class Quote:
    """The newest price of a currency pair: of one unit of `base` in `quoted`, 1e-8."""

    base: str
    quoted: str
    bid_e8: int
    ask_e8: int

    @property
    def mid_e8(self) -> int:
        return (self.bid_e8 + self.ask_e8 + 1) // 2


def conversion_e8(source: str, target: str, quotes: Iterable[Quote]) -> int:
    """Price of one unit of `source` in `target`, 1e-8, half up, at mid prices; 0 when no quote leads there.

    Takes the pair itself, then its inverse, then a path over one third currency; of several equal ways the first in
    alphabetical order, so that the same quotes give the same rate.
    """
    if source == target:
        return E8
    rates = _rates(quotes)
    direct = rates.get((source, target))
    if direct is not None:
        return direct
    for third in sorted({to for base, to in rates if base == source}):
        onward = rates.get((third, target))
        if onward is not None:
            return mul_div(rates[source, third], onward, E8, Rounding.HALF_UP)
    return 0


def _rates(quotes: Iterable[Quote]) -> dict[tuple[str, str], int]:
    """By (from, to); a pair's own price wins over the inverse of another."""
    known = [quote for quote in quotes if quote.bid_e8 > 0 and quote.ask_e8 > 0]
    inverse = {(quote.quoted, quote.base): mul_div(E8, E8, quote.mid_e8, Rounding.HALF_UP) for quote in known}
    return inverse | {(quote.base, quote.quoted): quote.mid_e8 for quote in known}
