from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.allocation.domain.closing import CloseInputs, decide_close
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod
from apportion.money import E8

COPY, DIVIDE = AllocationMethod.COPY_BY_EQUITY, AllocationMethod.DIVIDE_BY_EQUITY
STEP = E8 // 100
GRID = SymbolGrid(STEP, STEP, 100 * E8)


def closing(method, closed, before, opens, grid=GRID):
    return decide_close(CloseInputs(method, grid, closed, before, np.array(opens, dtype=np.int64))).tolist()


@pytest.mark.parametrize("method", [COPY, DIVIDE])
def test_a_full_close_closes_everything_even_off_the_grid(method):
    assert closing(method, 10 * E8, 10 * E8, [4 * E8, 6 * E8 + 1, 0]) == [4 * E8, 6 * E8 + 1, 0]


def test_copied_children_close_the_masters_fraction_half_up():
    # A quarter of 1.00, 0.02 and 0.05 lot: 0.25, 0.005 → 0.01, 0.0125 → 0.01.
    assert closing(COPY, 1, 4, [E8, 2 * STEP, 5 * STEP]) == [25 * STEP, STEP, STEP]


def test_a_child_reduced_by_its_investor_keeps_the_ratio_on_what_is_left():
    assert closing(COPY, 5, 10, [40 * STEP]) == [20 * STEP]


def test_a_rest_below_min_lot_waits_for_the_masters_last_part():
    grid = SymbolGrid(STEP, 10 * STEP, 100 * E8)
    assert closing(COPY, 1, 2, [15 * STEP, 40 * STEP, 10 * STEP], grid) == [0, 20 * STEP, 0]


def test_dividing_closes_exactly_the_masters_volume():
    assert closing(DIVIDE, 5 * E8, 10 * E8, [333 * STEP, 333 * STEP, 334 * STEP]) == [
        167 * STEP,
        166 * STEP,
        167 * STEP,
    ]


def test_dividing_after_a_rejected_child_closes_the_same_fraction_of_what_is_there():
    assert closing(DIVIDE, 5 * E8, 10 * E8, [4 * E8]) == [2 * E8]


def test_nothing_open():
    assert closing(DIVIDE, 1, 2, [0, 0]) == [0, 0]
    assert closing(COPY, 1, 2, []) == []


opens = st.lists(st.integers(0, 10_000), min_size=1, max_size=150)


@given(open_steps=opens, before=st.integers(2, 10**6), data=st.data())
def test_copying_equals_its_twin(open_steps, before, data):
    closed = data.draw(st.integers(1, before - 1))
    got = closing(COPY, closed, before, [s * STEP for s in open_steps])
    assert got == [floor(Fraction(s * closed, before) + Fraction(1, 2)) * STEP for s in open_steps]


@given(open_steps=opens, before=st.integers(2, 10**6), data=st.data())
def test_dividing_sum_is_exact_and_bounded(open_steps, before, data):
    closed = data.draw(st.integers(1, before - 1))
    got = closing(DIVIDE, closed, before, [s * STEP for s in open_steps])
    total = floor(Fraction(sum(open_steps) * closed, before) + Fraction(1, 2))
    assert sum(got) == total * STEP
    for volume, steps in zip(got, open_steps, strict=True):
        assert 0 <= volume <= steps * STEP
        assert not total or abs(Fraction(volume, STEP) - Fraction(steps * total, sum(open_steps))) < 1


@given(open_steps=opens, minimum=st.integers(1, 20), before=st.integers(2, 1000), data=st.data())
def test_copying_never_leaves_or_sends_less_than_min_lot(open_steps, minimum, before, data):
    closed = data.draw(st.integers(1, before - 1))
    grid = SymbolGrid(STEP, minimum * STEP, 10**6 * STEP)
    got = closing(COPY, closed, before, [s * STEP for s in open_steps], grid)
    for volume, steps in zip(got, open_steps, strict=True):
        rest = steps - volume // STEP
        assert volume == 0 or volume >= minimum * STEP or rest == 0
        assert rest == 0 or rest >= minimum or volume == 0


class TestRestsBelowMinLot:
    grid = SymbolGrid(STEP, 10 * STEP, 100 * E8)

    def close(self, method, closed, before, open_steps, at_once):
        inputs = CloseInputs(
            method, self.grid, closed, before, np.array(open_steps, dtype=np.int64) * STEP, np.array(at_once)
        )
        return (decide_close(inputs) // STEP).tolist()

    def test_the_whole_child_goes_at_once_where_its_subscription_says_so(self):
        # A half of 15 would leave 7 of at least 10.
        assert self.close(COPY, 1, 2, [15, 15, 40], [True, False, True]) == [15, 0, 20]

    def test_what_is_closed_too_much_the_others_close_less(self):
        # A half of 100: 8 + 42. The first goes whole, with 15; 35 of 85 are left for the second.
        assert self.close(DIVIDE, 1, 2, [15, 85], [True, False]) == [15, 35]

    def test_what_cannot_be_closed_the_others_close(self):
        assert self.close(DIVIDE, 1, 2, [15, 85], [False, False]) == [0, 50]

    def test_where_nobody_can_close_his_part_it_waits(self):
        assert self.close(DIVIDE, 1, 2, [12, 12], [False, False]) == [0, 0]

    def test_parts_below_min_lot_are_closed_by_some_instead(self):
        # 15 of 150, at least 10: 5 each is too little, so one of them closes all of it.
        assert self.close(DIVIDE, 1, 10, [50, 50, 50], [False] * 3) == [15, 0, 0]
        # 25 of 250: two of them, by what they can close beyond min lot.
        assert self.close(DIVIDE, 1, 10, [50, 60, 50, 50, 40], [False] * 5) == [12, 13, 0, 0, 0]

    def test_what_the_others_leave_room_for(self):
        # A half of 60: 15 would leave 7 and cannot, 45 can close 35 at most and closes the 30.
        assert self.close(DIVIDE, 1, 2, [15, 45], [False, False]) == [0, 30]
        # Nine tenths of 60: 54. The one can close nothing, the other 35, and 19 wait for the last part.
        assert self.close(DIVIDE, 9, 10, [15, 45], [False, False]) == [0, 35]

    @given(
        open_steps=opens,
        minimum=st.integers(1, 20),
        before=st.integers(2, 1000),
        method=st.sampled_from([COPY, DIVIDE]),
        data=st.data(),
    )
    def test_nobody_sends_or_keeps_less_than_min_lot(self, open_steps, minimum, before, method, data):
        closed = data.draw(st.integers(1, before - 1))
        flags = data.draw(st.lists(st.booleans(), min_size=len(open_steps), max_size=len(open_steps)))
        grid = SymbolGrid(STEP, minimum * STEP, 10**6 * STEP)
        opened = np.array(open_steps, dtype=np.int64) * STEP
        got = decide_close(CloseInputs(method, grid, closed, before, opened, np.array(flags))) // STEP
        for part, steps in zip(got.tolist(), open_steps, strict=True):
            rest = steps - part
            assert part == 0 or part >= minimum or rest == 0
            assert part == 0 or rest == 0 or rest >= minimum


@st.composite
def days(draw):
    """Children in steps, min lot, who goes whole, and the parts that the master closes until nothing is left."""
    children = draw(st.lists(st.integers(0, 200), min_size=1, max_size=12))
    minimum = draw(st.integers(1, 20))
    flags = draw(st.one_of(st.just([False] * len(children)), st.lists(st.booleans(), min_size=len(children))))
    before = draw(st.integers(1, 2 * sum(children) + 2))
    parts = []
    while before:
        parts.append(draw(st.integers(1, before)))
        before -= parts[-1]
    return children, minimum, [*flags, *[False] * len(children)][: len(children)], parts


@given(day=days(), method=st.sampled_from([COPY, DIVIDE]))
def test_closes_in_sequence_leave_nothing_and_every_sum_is_explained(day, method):
    children, minimum, flags, parts = day
    grid = SymbolGrid(STEP, minimum * STEP, 10**6 * STEP)
    left, master = np.array(children, dtype=np.int64), sum(parts)
    for part in parts:
        inputs = CloseInputs(method, grid, part * STEP, master * STEP, left * STEP, np.array(flags))
        got = decide_close(inputs) // STEP
        assert ((got >= 0) & (got <= left)).all()
        rests = left - got
        touched = got > 0
        assert (rests[touched & (rests > 0)] >= minimum).all()
        assert (got[touched & (rests > 0)] >= minimum).all()
        if part < master and method is DIVIDE:
            explain_sum(left, got, floor(Fraction(int(left.sum()) * part, master) + Fraction(1, 2)), minimum, flags)
        left, master = rests, master - part
    assert not left.any(), "the master's last part closes everything"


def explain_sum(opened, got, wanted, minimum, flags):
    """Too much only where somebody went whole; too little only where nobody could close more and keep min lot."""
    missing = wanted - int(got.sum())
    whole = [flag and part == steps > 0 for flag, part, steps in zip(flags, got, opened, strict=True)]
    if missing < 0:
        assert any(whole)
    if missing > 0:
        begun = (got > 0) & (got < opened)
        assert (opened - got)[begun].sum() == minimum * begun.sum(), "those who close a part close all they can"
        assert missing < minimum or not ((got == 0) & (opened >= 2 * minimum)).any()
