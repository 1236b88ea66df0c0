"""Splitting a whole number by weights: the parts always add up to it.

Both policies work on counts (minor units, lot steps). A negative total is split as its magnitude and negated, so that a
loss is shared exactly as the same profit. Weights must not be negative and must not all be 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from apportion.money.fixed_point import INT64_MAX, Factor, Int64Array, exact_sum, floor_residual

# Below this many weights plain integers beat numpy's fixed cost per call.
SMALL_COUNT = 80
# floor_residual is exact without falling back to Python integers below these.
_MAX_TOTAL = 2**50
_MAX_WEIGHT_SUM = 2**61
_BUCKET_BITS = 9


def largest_remainder(total: int, weights: Int64Array) -> Int64Array:
    """Cut each share down, then one more to each of the largest remainders (ties: larger weight, then lower index).

    Nobody is further than one unit from the exact share. ValueError for a negative weight or a sum of 0.
    """
    magnitude = abs(total)
    weight_sum = _checked_sum(weights)
    if _is_small(magnitude, weights, weight_sum):
        parts = _largest_remainder_of_ints(magnitude, weights.tolist(), weight_sum)
    else:
        parts, remainders = floor_residual(weights, magnitude, weight_sum)
        missing = magnitude - int(parts.sum())
        parts += greatest(missing, remainders, weights)
    return parts if total >= 0 else -parts


def nearest_largest(total: int, weights: Int64Array) -> Int64Array:
    """Round each share half up; a shortage goes one by one to the largest weights, an excess is taken one by one from
    the smallest that got something; ties: lower index.

    Nobody is further than 1.5 units from the exact share. ValueError for a negative weight or a sum of 0.
    """
    magnitude = abs(total)
    weight_sum = _checked_sum(weights)
    if _is_small(magnitude, weights, weight_sum):
        parts = _nearest_largest_of_ints(magnitude, weights.tolist(), weight_sum)
    else:
        parts, remainders = floor_residual(weights, magnitude, weight_sum)
        parts += remainders >= -(-weight_sum // 2)
        settle_nearest(parts, magnitude - int(parts.sum()), weights)
    return parts if total >= 0 else -parts


def _checked_sum(weights: Int64Array) -> int:
    if weights.size == 0 or int(weights.min()) < 0:
        raise ValueError("weights must not be empty or negative")
    weight_sum = exact_sum(weights)
    if weight_sum == 0:
        raise ValueError("the weights add up to 0")
    return weight_sum


def _is_small(total: int, weights: Int64Array, weight_sum: int) -> bool:
    return weights.size < SMALL_COUNT or total >= _MAX_TOTAL or weight_sum >= _MAX_WEIGHT_SUM


def settle_nearest(
    parts: Int64Array, missing: int, *keys: Int64Array, most: Factor = INT64_MAX, least: int = 0
) -> None:
    """Give a shortage of nearest-rounded parts one by one to the greatest keys whose part is below `most`, or take an
    excess (`missing` below 0) one by one from the least keys whose part is above `least`; ties as in `greatest`.

    Where too few parts are above `least`, all that are above 0 give.
    """
    if missing > 0:
        parts += _greatest_of(parts < most, missing, *keys)
    elif missing < 0:
        givers = parts > least
        if np.count_nonzero(givers) < -missing:
            givers = parts > 0
        parts -= _greatest_of(givers, -missing, *(-key for key in keys))


def _greatest_of(some: NDArray[np.bool_], count: int, keys: Int64Array, *tie_keys: Int64Array) -> NDArray[np.bool_]:
    """`greatest` among some rows, of which there are enough: the others get a key below all."""
    return greatest(count, np.where(some, keys, keys.min() - 1), *tie_keys)


def greatest(count: int, keys: Int64Array, *tie_keys: Int64Array) -> NDArray[np.bool_]:
    """Which are the `count` greatest keys; among equals those with the greater tie keys, then the lower indexes.

    The keys lie within 2^62 of each other. By threshold instead of argpartition, which leaves the order of equal keys
    open.
    """
    if count == 0:
        return np.zeros(keys.shape, dtype=np.bool_)
    threshold = _threshold(keys, count)
    chosen: NDArray[np.bool_] = keys > threshold
    needed = count - int(np.count_nonzero(chosen))
    ties = np.flatnonzero(keys == threshold)
    if tie_keys and ties.size > needed:
        ties = ties[np.lexsort([-key[ties] for key in reversed(tie_keys)])]
    chosen[ties[:needed]] = True
    return chosen


def _threshold(keys: Int64Array, count: int) -> int:
    """The least of the `count` greatest keys, which lie within 2^62 of each other.

    Counting the keys by their highest bits leaves only those of one bucket to be partitioned: a third of the time of
    partitioning all.
    """
    lowest = int(keys.min())
    buckets = (keys - lowest) >> max(0, (int(keys.max()) - lowest).bit_length() - _BUCKET_BITS)
    counts = np.bincount(buckets)
    reached = np.cumsum(counts[::-1])  # by the greatest bucket, the greatest two, …
    position = int(np.searchsorted(reached, count))
    bucket = counts.size - 1 - position
    inside = keys[buckets == bucket]
    # The `needed` greatest keys inside come after all of the greater buckets.
    needed = count - int(reached[position]) + inside.size
    return int(np.partition(inside, inside.size - needed)[inside.size - needed])


def _largest_remainder_of_ints(total: int, weights: list[int], weight_sum: int) -> Int64Array:
    parts = [weight * total // weight_sum for weight in weights]
    missing = total - sum(parts)
    if missing:
        ranked = sorted(range(len(weights)), key=lambda i: (-(weights[i] * total % weight_sum), -weights[i], i))
        for index in ranked[:missing]:
            parts[index] += 1
    return np.array(parts, dtype=np.int64)


def _nearest_largest_of_ints(total: int, weights: list[int], weight_sum: int) -> Int64Array:
    parts = [(2 * weight * total + weight_sum) // (2 * weight_sum) for weight in weights]
    missing = total - sum(parts)
    if missing > 0:
        for index in sorted(range(len(weights)), key=lambda i: (-weights[i], i))[:missing]:
            parts[index] += 1
    elif missing < 0:
        receivers = [index for index, part in enumerate(parts) if part]
        for index in sorted(receivers, key=lambda i: (weights[i], i))[:-missing]:
            parts[index] -= 1
    return np.array(parts, dtype=np.int64)
