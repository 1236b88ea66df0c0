"""Exact decimal figures as Python integers: prices, rates and volumes in 1e-8, money in minor units."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import lru_cache

E8 = 100_000_000
SCALE_DIGITS = 8


def divide_half_up(numerator: int, denominator: int) -> int:
    """Integer quotient rounded to nearest, halves away from zero, as MT5 rounds money. `denominator` > 0."""
    quotient, remainder = divmod(abs(numerator), denominator)
    if 2 * remainder >= denominator:
        quotient += 1
    return quotient if numerator >= 0 else -quotient


def parse_scaled(text: str, digits: int) -> int:
    """`"1.115"` at 8 digits → 111500000. ValueError for anything that is not such a number, or needs more digits."""
    try:
        scaled = Decimal(text.strip()).scaleb(digits)
    except InvalidOperation as error:
        raise ValueError(f"not a number: {text!r}") from error
    if not scaled.is_finite() or scaled != scaled.to_integral_value():
        raise ValueError(f"more than {digits} digits: {text!r}")
    return int(scaled)


def format_scaled(value: int, digits: int) -> str:
    """26000_00 at 2 digits → `"26000.00"`."""
    if digits == 0:
        return str(value)
    text = f"{value:0{digits + 1 + (value < 0)}d}"
    return f"{text[:-digits]}.{text[-digits:]}"


@lru_cache(65_536)
def format_price(price_e8: int, digits: int) -> str:
    """A price or rate in 1e-8, printed at `digits` ≤ 8."""
    return format_scaled(divide_half_up(price_e8, 10 ** (SCALE_DIGITS - digits)), digits)


def format_mean(price_e8: int, digits: int) -> str:
    """As `format_price`; with all 8 digits when it lies between two prices, as the mean of several fills may."""
    return format_price(price_e8, digits if price_e8 % 10 ** (SCALE_DIGITS - digits) == 0 else SCALE_DIGITS)


def profit_minor(contract_size_e8: int, volume_e8: int, difference_e8: int, rate_e8: int, currency_digits: int) -> int:
    """Contract size × volume × price difference × conversion rate, in minor units of the account currency."""
    return divide_half_up(contract_size_e8 * volume_e8 * difference_e8 * rate_e8, 10 ** (32 - currency_digits))


def margin_minor(contract_size_e8: int, volume_e8: int, rate_e8: int, leverage: int, currency_digits: int) -> int:
    """Forex margin: contract size × volume ÷ leverage × conversion rate, in minor units of the account currency."""
    return divide_half_up(contract_size_e8 * volume_e8 * rate_e8, leverage * 10 ** (24 - currency_digits))
