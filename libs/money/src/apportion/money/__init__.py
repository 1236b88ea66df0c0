"""Exact int64 fixed-point money, volumes and splitting.

Amounts are int64 minor units; volumes, prices and ratios int64 counts of 1e-8. Nothing here rounds through a float.
"""

from apportion.money.currencies import UnknownCurrencyError, currency_digits
from apportion.money.fixed_point import (
    E8,
    INT64_MAX,
    INT64_MIN,
    Int64Array,
    Rounding,
    exact_sum,
    floor_residual,
    mul_div,
    mul_div_floor,
    mul_div_half_up,
    product_div,
)
from apportion.money.splitting import greatest, largest_remainder, nearest_largest, settle_nearest
from apportion.money.text import format_amount

__all__ = [
    "E8",
    "INT64_MAX",
    "INT64_MIN",
    "Int64Array",
    "Rounding",
    "UnknownCurrencyError",
    "currency_digits",
    "exact_sum",
    "floor_residual",
    "format_amount",
    "greatest",
    "largest_remainder",
    "mul_div",
    "mul_div_floor",
    "mul_div_half_up",
    "nearest_largest",
    "product_div",
    "settle_nearest",
]
