"""The twins give the published figures, so that what is compared with them is compared with something."""

from __future__ import annotations

from fractions import Fraction

from apportion.api.allocation.v1 import masters_pb2
from apportion.devstack.fraction_twins import Cushion, close, copy, distribute, divide, divide_by_risk, divided_owed

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


def test_who_falls_below_his_margin_level_is_left_out_of_the_division() -> None:
    # 0.01 lot at 100 000 and leverage 100 uses 10.00: with 2 of 4 steps more, 30.00 of 100.00 are used.
    poor = Cushion(10_000, 1_000, 100, Fraction(100_000), Fraction(4))
    rich = Cushion(10_000, 1_000, 100, Fraction(100_000), Fraction(3))
    assert [poor.falls_out(1), poor.falls_out(2), rich.falls_out(2)] == [False, True, False]
    half = {1: 1, 2: 1}
    assert divide_by_risk(4, half, {}, NEAREST_LARGEST, {}, {1: rich, 2: rich}) == ({1: 2, 2: 2}, set(), set())
    free = Cushion(1, 1_000, 100, Fraction(100_000), Fraction(0))
    assert divide_by_risk(4, half, {}, NEAREST_LARGEST, {}, {1: poor, 2: free}) == ({1: 0, 2: 4}, set(), {1})


def test_money_is_distributed_to_the_cent() -> None:
    thirds = {1: 333_333_334, 2: 333_333_333, 3: 333_333_333}
    assert distribute(-100, thirds, 10**9, NEAREST_LARGEST) == {1: -34, 2: -33, 3: -33}
    # 0.5, 0.5 and 9: nearest has one too many, which the lower login of the smallest gives.
    assert distribute(10, {1: 5, 2: 5, 3: 90}, 100, NEAREST_LARGEST) == {1: 0, 2: 1, 3: 9}
    assert distribute(10, {1: 5, 2: 5, 3: 90}, 100, LARGEST_REMAINDER) == {1: 1, 2: 0, 3: 9}
    # Half belongs to nobody.
    assert distribute(10, {1: 25, 2: 25}, 100, LARGEST_REMAINDER) == {1: 3, 2: 2}
