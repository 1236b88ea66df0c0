"""a × b ÷ c, exact, also where a × b does not fit into 64 bits."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from math import gcd
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

E8 = 100_000_000
INT64_MIN = -(2**63)
INT64_MAX = 2**63 - 1

Int64Array: TypeAlias = NDArray[np.int64]
Factor: TypeAlias = Int64Array | int

# Up to here a float quotient is at most one off, and a residual of at most 2·divisor does not leave int64.
_EXACT_QUOTIENT = float(2**50)
_EXACT_DIVISOR = 2**61
_LOWEST_BITS = 2**64 - 1


class Rounding(enum.Enum):
    """Named as in `decimal`: by magnitude, so that a profit and the same loss round alike."""

    HALF_UP = "half_up"
    DOWN = "down"
    UP = "up"


def mul_div(a: int, b: int, c: int, rounding: Rounding) -> int:
    """a·b/c of plain integers, rounded once. ZeroDivisionError for c = 0; OverflowError outside int64."""
    product = a * b
    negative = (product < 0) != (c < 0)
    quotient, rest = divmod(abs(product), abs(c))
    if (rounding is Rounding.UP and rest) or (rounding is Rounding.HALF_UP and 2 * rest >= abs(c)):
        quotient += 1
    return _fitting(-quotient if negative else quotient)


def mul_div_floor(a: Int64Array, b: Factor, c: Factor) -> Int64Array:
    """floor(a·b/c) element by element, for c > 0. Shapes broadcast. OverflowError where a result leaves int64."""
    return floor_residual(a, b, c)[0]


def mul_div_half_up(a: Int64Array, b: Factor, c: Factor) -> Int64Array:
    """a·b/c rounded half away from zero, for c > 0. Shapes broadcast. OverflowError where a result leaves int64."""
    quotient, residual = floor_residual(a, b, c)
    # `rest` is what is missing to the next integer; no 2·residual, which could leave int64 for c above 2^62.
    rest = np.asarray(c, dtype=np.int64) - residual
    up = (residual > rest) | ((residual == rest) & (quotient >= 0))
    if np.any(up & (quotient == INT64_MAX)):
        raise OverflowError("a·b/c does not fit into int64")
    rounded: Int64Array = quotient + up
    return rounded


def floor_residual(a: Int64Array, b: Factor, c: Factor) -> tuple[Int64Array, Int64Array]:
    """floor(a·b/c) and the residual a·b − floor(a·b/c)·c in [0, c), for c > 0.

    A float estimates the quotient; the residual is taken in *wrapping* int64, which is exact because the true residual
    fits; where it leaves [0, c) the estimate was one off. Rows too big for that argument go through Python integers.
    """
    a = np.asarray(a, dtype=np.int64)
    b = np.asarray(b, dtype=np.int64)
    c = np.asarray(c, dtype=np.int64)
    least, greatest = (int(c), int(c)) if c.ndim == 0 else (int(c.min(initial=1)), int(c.max(initial=1)))
    if least <= 0:
        if not c.all():
            raise ZeroDivisionError("a·b/0")
        raise ValueError("the divisor must be above 0")
    estimate = np.asarray(a * (b / c))
    if estimate.size == 0:
        empty = np.zeros(estimate.shape, dtype=np.int64)
        return empty, empty.copy()
    if max(-float(estimate.min()), float(estimate.max())) >= _EXACT_QUOTIENT or greatest >= _EXACT_DIVISOR:
        return _floor_residual_of_big(a, b, c)
    with np.errstate(over="ignore"):
        quotient: Int64Array = np.asarray(np.floor(estimate, out=estimate).astype(np.int64))
        residual: Int64Array = np.asarray(a * b)
        residual -= quotient * c
    low, high = residual < 0, residual >= c
    if low.any() or high.any():
        quotient += high
        quotient -= low
        residual += np.where(low, c, 0)
        residual -= np.where(high, c, 0)
    return quotient, residual


def product_div(columns: Sequence[Int64Array], multiplier: int, divisor: int, rounding: Rounding) -> Int64Array:
    """multiplier · the product of up to three columns of one length / divisor, element by element, rounded once.

    All factors are 0 or above, the divisor above 0; no product has to fit into int64. OverflowError where a result does
    not. The argument is that of `floor_residual`.
    """
    common = gcd(multiplier, divisor)
    multiplier, divisor = multiplier // common, divisor // common
    up_from = {Rounding.DOWN: divisor, Rounding.HALF_UP: -(-divisor // 2), Rounding.UP: 1}[rounding]
    estimate = columns[0] * (multiplier / divisor)
    for column in columns[1:]:
        estimate *= column
    if divisor >= _EXACT_DIVISOR or float(estimate.max(initial=0.0)) >= _EXACT_QUOTIENT:
        return _product_div_of_big(columns, multiplier, divisor, up_from)
    quotient: Int64Array = estimate.astype(np.int64)
    # In wrapping int64; of the multiplier its lowest 64 bits.
    residual = columns[0] * np.uint64(multiplier & _LOWEST_BITS).astype(np.int64)
    for column in columns[1:]:
        residual *= column
    residual -= quotient * divisor
    # The residual lies from −divisor to 2·divisor: the estimate was one too high, right, or one too low.
    quotient += residual >= up_from
    quotient += residual >= divisor + up_from
    quotient -= residual < up_from - divisor
    return quotient


def exact_sum(values: Int64Array) -> int:
    """Σ values as a Python integer, also where it leaves int64: there int64 addition would wrap silently."""
    if not values.size:
        return 0
    if max(-int(values.min()), int(values.max())) * values.size <= INT64_MAX:
        return int(values.sum())
    near_edge = abs(float(values.sum(dtype=np.float64))) >= 2.0**62
    return int(values.astype(object).sum() if near_edge else values.sum())


def _floor_residual_of_big(a: Int64Array, b: Int64Array, c: Int64Array) -> tuple[Int64Array, Int64Array]:
    rows = np.broadcast(a, b, c)
    pairs = [divmod(int(x) * int(y), int(z)) for x, y, z in rows]
    quotient = np.array([_fitting(q) for q, _ in pairs], dtype=np.int64).reshape(rows.shape)
    residual = np.array([r for _, r in pairs], dtype=np.int64).reshape(rows.shape)
    return quotient, residual


def _product_div_of_big(columns: Sequence[Int64Array], multiplier: int, divisor: int, up_from: int) -> Int64Array:
    product = columns[0].astype(object) * multiplier
    for column in columns[1:]:
        product = product * column
    quotient = (product + (divisor - up_from)) // divisor
    if quotient.max(initial=0) > INT64_MAX:
        raise OverflowError("the product does not fit into int64")
    return np.asarray(quotient, dtype=np.int64)


def _fitting(value: int) -> int:
    if not INT64_MIN <= value <= INT64_MAX:
        raise OverflowError("a·b/c does not fit into int64")
    return value
