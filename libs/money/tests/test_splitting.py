from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.money import largest_remainder, nearest_largest
from apportion.money.splitting import SMALL_COUNT


def twin_largest_remainder(total: int, weights: list[int]) -> list[int]:
    shares = [Fraction(w * total, sum(weights)) for w in weights]
    parts = [floor(s) for s in shares]
    order = sorted(range(len(weights)), key=lambda i: (shares[i] - parts[i], weights[i], -i), reverse=True)
    for i in order[: total - sum(parts)]:
        parts[i] += 1
    return parts


def twin_nearest_largest(total: int, weights: list[int]) -> list[int]:
    shares = [Fraction(w * total, sum(weights)) for w in weights]
    parts = [floor(s + Fraction(1, 2)) for s in shares]
    for i in sorted(range(len(weights)), key=lambda i: (-shares[i], i)):
        if sum(parts) < total:
            parts[i] += 1
    for i in sorted(range(len(weights)), key=lambda i: (shares[i], i)):
        if sum(parts) > total and parts[i] > 0:
            parts[i] -= 1
    return parts


KERNELS = [(largest_remainder, twin_largest_remainder, 1), (nearest_largest, twin_nearest_largest, Fraction(3, 2))]
kernels = pytest.mark.parametrize(("kernel", "twin", "reach"), KERNELS)

few_distinct = st.integers(0, 5)
any_weight = st.one_of(few_distinct, st.integers(0, 2**40), st.integers(0, 2**62))
weight_lists = st.lists(any_weight, min_size=1, max_size=200).filter(any)
totals = st.one_of(st.integers(0, 300), st.integers(0, 2**49), st.integers(0, 2**62))


@kernels
@settings(max_examples=200)
@given(total=totals, weights=weight_lists)
def test_equals_the_obvious_twin(kernel, twin, reach, total, weights):
    assert kernel(total, np.array(weights)).tolist() == twin(total, weights)


@kernels
@settings(max_examples=60)
@given(total=st.integers(0, 10**6), seed=st.integers(0, 2**32), count=st.integers(SMALL_COUNT, 400))
def test_vectorised_form_equals_the_twin(kernel, twin, reach, total, seed, count):
    random = np.random.default_rng(seed)
    weights = random.integers(0, random.choice([3, 50, 10**9]), count)
    weights[0] += 1
    assert kernel(total, weights).tolist() == twin(total, weights.tolist())


@kernels
@given(total=st.integers(-(2**49), 2**49), weights=weight_lists)
def test_sum_bounds_and_sign(kernel, twin, reach, total, weights):
    parts = kernel(total, np.array(weights)).tolist()
    assert sum(parts) == total
    for part, weight in zip(parts, weights, strict=True):
        assert abs(part - Fraction(weight * total, sum(weights))) < reach
        assert part == 0 or (part > 0) == (total > 0)
        assert weight or part == 0


@kernels
@given(total=st.integers(0, 10**9), weights=st.lists(st.integers(0, 10**6), min_size=2, max_size=150).filter(any))
def test_larger_weight_never_gets_less(kernel, twin, reach, total, weights):
    parts = kernel(total, np.array(weights)).tolist()
    ranked = sorted(zip(weights, parts, strict=True))
    for (low_weight, low_part), (high_weight, high_part) in pairwise(ranked):
        assert low_weight == high_weight or low_part <= high_part


@kernels
@given(total=st.integers(0, 10**9), weights=st.permutations(list(range(1, 120))))
def test_order_of_distinct_weights_does_not_matter(kernel, twin, reach, total, weights):
    parts = dict(zip(weights, kernel(total, np.array(weights)).tolist(), strict=True))
    ordered = sorted(weights)
    assert [parts[w] for w in ordered] == kernel(total, np.array(ordered)).tolist()


@kernels
def test_a_shortage_among_equal_weights_goes_to_the_lower_index(kernel, twin, reach):
    assert kernel(4, np.array([7, 7, 7])).tolist() == [2, 1, 1]


def test_an_excess_among_equal_weights_is_taken_from_the_lower_index():
    assert nearest_largest(2, np.array([7, 7, 7])).tolist() == [0, 1, 1]
    assert largest_remainder(2, np.array([7, 7, 7])).tolist() == [1, 1, 0]


def test_excess_is_taken_from_the_smallest_that_got_something():
    assert nearest_largest(5, np.array([1, 5, 5, 5, 4])).tolist() == twin_nearest_largest(5, [1, 5, 5, 5, 4])
    assert nearest_largest(1, np.array([1, 1])).tolist() == [0, 1]


@kernels
@pytest.mark.parametrize("weights", [[], [0, 0], [3, -1]])
def test_impossible_weights_are_refused(kernel, twin, reach, weights):
    with pytest.raises(ValueError, match="weights"):
        kernel(10, np.array(weights, dtype=np.int64))
