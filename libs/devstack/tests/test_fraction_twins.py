"""The twins give the published figures, so that what is compared with them is compared with something."""

from __future__ import annotations

from fractions import Fraction

from apportion.api.allocation.v1 import masters_pb2
from apportion.devstack.fraction_twins import close, copy, divide, divided_owed

NEAREST_LARGEST = masters_pb2.ROUNDING_POLICY_NEAREST_LARGEST
LARGEST_REMAINDER = masters_pb2.ROUNDING_POLICY_LARGEST_REMAINDER
NEAREST, DOWN, CARRY = (
    masters_pb2.ROUNDING_POLICY_NEAREST,
    masters_pb2.ROUNDING_POLICY_DOWN,
    masters_pb2.ROUNDING_POLICY_CARRY,
)
THIRD = Fraction(1, 3)


def test_divide_by_weight() -> None:
    assert divide(100, {1: 2, 2: 3}, {}, NEAREST_LARGEST, {}) == ({1: 40, 2: 60}, set())
    # 3.33 each: the step that is missing goes to the largest, then the lower login.
    assert divide(10, {1: 1, 2: 1, 3: 1}, {}, NEAREST_LARGEST, {}) == ({1: 4, 2: 3, 3: 3}, set())
    # 0.5, 0.5 and 9: rounded up the smallest ones have one too many.
    assert divide(10, {1: 1, 2: 1, 3: 18}, {}, NEAREST_LARGEST, {}) == ({1: 0, 2: 1, 3: 9}, set())
    assert divide(10, {1: 1, 2: 1, 3: 18}, {}, LARGEST_REMAINDER, {}) == ({1: 1, 2: 0, 3: 9}, set())


def test_divide_above_a_cap_and_below_nothing() -> None:
    assert divide(10, {1: 1, 2: 1}, {}, LARGEST_REMAINDER, {1: 2}) == ({1: 2, 2: 8}, {1})
    assert divide(10, {1: 1, 2: 1}, {}, LARGEST_REMAINDER, {1: 2, 2: 3}) == ({1: 2, 2: 3}, {1, 2})
    # 120 + 120 held by 1 to 2 to 3: the first has too much, 180 by 2 to 3 less 20 and 40 remain.
    held = {1: Fraction(60), 2: Fraction(20), 3: Fraction(40)}
    assert divide(120, {1: 100, 2: 200, 3: 300}, held, NEAREST_LARGEST, {})[0] == {1: 0, 2: 52, 3: 68}


def test_what_is_owed_is_given_next_time() -> None:
    weights, owed = {1: 1, 2: 1, 3: 1}, dict.fromkeys((1, 2, 3), Fraction(0))
    got = dict.fromkeys(weights, 0)
    for _ in range(3):
        had = {login: -owed[login] for login in weights}
        steps, cut = divide(10, weights, had, CARRY, {})
        owed = divided_owed(steps, cut, weights, owed, 3)
        got = {login: got[login] + steps[login] for login in weights}
    assert got == {1: 10, 2: 10, 3: 10}
    assert sum(owed.values()) == 0


def test_copy_each_alone() -> None:
    shares = {1: Fraction(5, 2), 2: Fraction(1, 4), 3: Fraction(7)}
    assert copy(shares, NEAREST, {}, {}, {}, 100).steps == {1: 3, 2: 0, 3: 7}
    assert copy(shares, DOWN, {}, {3: 4}, {2: Fraction(5)}, 100).steps == {1: 2, 2: 1, 3: 4}
    first = copy({1: THIRD}, CARRY, {}, {}, {}, 3)
    second = copy({1: THIRD}, CARRY, first.owed, {}, {}, 3)
    assert (first.steps, second.steps, second.owed) == ({1: 0}, {1: 1}, {1: -THIRD})


def test_close_a_part() -> None:
    assert close({1: 10, 2: 5}, Fraction(1, 2), dividing=False) == {1: 5, 2: 3}
    # 15 × 1/2 = 7.5, that is 8: 5.33 and 2.67.
    assert close({1: 10, 2: 5}, Fraction(1, 2), dividing=True) == {1: 5, 2: 3}
    assert close({1: 10, 2: 5}, Fraction(1), dividing=True) == {1: 10, 2: 5}
