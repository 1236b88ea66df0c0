"""The published worked figures, and the kernels against obvious twins in Python integers."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from allocation_sets import subscription_set
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod, RoundingPolicy
from apportion.allocation.domain.opening import UNKNOWN_BASIS, OpenInputs, decide_open, has_zero_base
from apportion.allocation.domain.reasons import SkipReason
from apportion.money import E8

COPY = AllocationMethod.COPY_BY_EQUITY
MULTIPLY = AllocationMethod.RATIO_MULTIPLIER
DIVIDE = AllocationMethod.DIVIDE_BY_EQUITY
NEAREST, DOWN = RoundingPolicy.NEAREST, RoundingPolicy.DOWN
NEAREST_LARGEST, LARGEST_REMAINDER = RoundingPolicy.NEAREST_LARGEST, RoundingPolicy.LARGEST_REMAINDER
TENTH = SymbolGrid(E8 // 10, E8 // 10, 100 * E8)


def lots(text: str) -> int:
    return int(Fraction(text) * E8)


def inputs(method, master_volume, *, bases=(), ratios=None, master_basis=0, grid=TENTH, rounding=None, **more):
    count = len(bases) or len(ratios)
    active = more.pop("active", [True] * count)
    round_up = more.pop("round_up", [False] * count)
    return OpenInputs(
        method=method,
        rounding=rounding or (NEAREST_LARGEST if method is DIVIDE else NEAREST),
        grid=grid,
        master_volume_e8=lots(master_volume),
        master_basis=master_basis,
        subscriptions=subscription_set(
            count, active=active, round_up=round_up, ratios_e8=[lots(r) for r in ratios or ["1"] * count]
        ),
        bases=np.array(bases, dtype=np.int64),
        **more,
    )


def volumes(given_inputs) -> list[Fraction]:
    return [Fraction(int(s) * given_inputs.grid.step_e8, E8) for s in decide_open(given_inputs).steps]


def reasons(given_inputs) -> list[SkipReason]:
    return [SkipReason(int(r)) for r in decide_open(given_inputs).reasons]


WORKED = [
    # Masters of 1000, investor of 2000, each master buys 0.5.
    (inputs(COPY, "0.5", bases=[2000], ratios=["2"], master_basis=1000), ["2"]),
    (inputs(COPY, "0.5", bases=[2000], ratios=["1"], master_basis=1000), ["1"]),
    (inputs(COPY, "0.5", bases=[2000], ratios=["0.5"], master_basis=1000), ["0.5"]),
    # Multipliers 1.3 and 2.5, the master buys 1.
    (inputs(MULTIPLY, "1", ratios=["1.3", "2.5"]), ["1.3", "2.5"]),
    # The master sells: the children's magnitudes are the same.
    (inputs(MULTIPLY, "-1", ratios=["1.3", "2.5"]), ["1.3", "2.5"]),
    (inputs(DIVIDE, "10", bases=[2000, 3000]), ["4", "6"]),
    (inputs(DIVIDE, "10", bases=[30, 70]), ["3", "7"]),
    # 5.3, 4.3 and 0.4 steps of 10: rounded 5 + 4 + 0, the shortage goes to the largest.
    (inputs(DIVIDE, "1", bases=[53, 43, 4]), ["0.6", "0.4", "0"]),
    (inputs(DIVIDE, "1", bases=[53, 43, 4], rounding=LARGEST_REMAINDER), ["0.5", "0.4", "0.1"]),
    # Steps that are no decimals of ten.
    (inputs(MULTIPLY, "1.5", ratios=["1.2"], grid=SymbolGrid(lots("0.5"), lots("0.5"), lots("50"))), ["2"]),
    (inputs(MULTIPLY, "0.09", ratios=["1.5"], grid=SymbolGrid(lots("0.03"), lots("0.03"), lots("50"))), ["0.15"]),
    (inputs(COPY, "1", bases=[999], master_basis=1000, rounding=DOWN), ["0.9"]),
    (inputs(COPY, "1", bases=[950], master_basis=1000), ["1"]),
]


@pytest.mark.parametrize(("given_inputs", "expected"), WORKED)
def test_worked_figures(given_inputs, expected):
    assert volumes(given_inputs) == [Fraction(volume) for volume in expected]


def test_every_subscription_that_gets_nothing_has_its_reason():
    given_inputs = inputs(
        COPY,
        "1",
        bases=[1000, 1000, 0, -5, UNKNOWN_BASIS, 40, 1_000_000],
        active=[True, False, True, True, True, True, True],
        master_basis=1000,
    )
    assert reasons(given_inputs) == [
        SkipReason.NONE,
        SkipReason.INACTIVE,
        SkipReason.NO_EQUITY,
        SkipReason.NO_EQUITY,
        SkipReason.STALE_STATE,
        SkipReason.BELOW_MIN_LOT,
        SkipReason.CAPPED,
    ]
    assert volumes(given_inputs) == [1, 0, 0, 0, 0, 0, 100]


@pytest.mark.parametrize(
    ("master_basis", "reason"), [(UNKNOWN_BASIS, SkipReason.STALE_STATE), (0, SkipReason.NO_EQUITY)]
)
def test_a_master_without_figures_is_copied_by_nobody(master_basis, reason):
    assert reasons(inputs(COPY, "1", bases=[10, 20], master_basis=master_basis)) == [reason, reason]


@pytest.mark.parametrize("blanket", [SkipReason.PAUSED_BY_RISK, SkipReason.TOO_LATE, SkipReason.SYMBOL_UNMAPPED])
def test_a_blanket_reason_keeps_everybody_out(blanket):
    given_inputs = inputs(MULTIPLY, "1", ratios=["1", "1"], active=[True, False], blanket_reason=blanket)
    assert reasons(given_inputs) == [blanket, SkipReason.INACTIVE]
    assert volumes(given_inputs) == [0, 0]


def test_nobody_there():
    assert volumes(inputs(DIVIDE, "1", bases=[1], active=[False])) == [0]
    assert decide_open(inputs(DIVIDE, "1", bases=[5, 5], active=[False, False])).steps.tolist() == [0, 0]


def test_round_up_to_min_only_up_to_five_times_the_share():
    grid = SymbolGrid(lots("0.01"), lots("0.1"), lots("10"))
    given_inputs = inputs(MULTIPLY, "1", ratios=["0.05", "0.02", "0.019", "0.05"], grid=grid, round_up=[1, 1, 1, 0])
    assert volumes(given_inputs) == [Fraction("0.1"), Fraction("0.1"), 0, 0]
    assert reasons(given_inputs) == [0, 0, SkipReason.BELOW_MIN_LOT, SkipReason.BELOW_MIN_LOT]


class TestLimitsOfDividing:
    def test_the_excess_over_max_lot_goes_to_the_others(self):
        grid = SymbolGrid(lots("0.1"), lots("0.1"), lots("5"))
        given_inputs = inputs(DIVIDE, "10", bases=[80, 10, 10], grid=grid)
        assert volumes(given_inputs) == [5, Fraction("2.5"), Fraction("2.5")]
        assert reasons(given_inputs) == [SkipReason.CAPPED, 0, 0]

    def test_what_nobody_can_take_stays_unallocated(self):
        grid = SymbolGrid(lots("0.1"), lots("0.1"), lots("3"))
        given_inputs = inputs(DIVIDE, "10", bases=[80, 10, 10], grid=grid)
        assert volumes(given_inputs) == [3, 3, 3]
        assert reasons(given_inputs) == [SkipReason.CAPPED] * 3

    def test_the_volume_of_those_below_min_lot_goes_to_the_others(self):
        grid = SymbolGrid(lots("0.1"), lots("1"), lots("50"))
        given_inputs = inputs(DIVIDE, "10", bases=[50, 45, 5], grid=grid)
        assert sum(volumes(given_inputs)) == 10
        assert volumes(given_inputs)[2] == 0
        assert reasons(given_inputs) == [0, 0, SkipReason.BELOW_MIN_LOT]

    def test_all_below_min_lot(self):
        grid = SymbolGrid(lots("0.1"), lots("5"), lots("50"))
        assert volumes(inputs(DIVIDE, "6", bases=[1, 1, 1], grid=grid)) == [0, 0, 0]

    def test_rounding_up_is_paid_by_the_others(self):
        grid = SymbolGrid(lots("0.1"), lots("1"), lots("50"))
        given_inputs = inputs(DIVIDE, "10", bases=[50, 45, 5], grid=grid, round_up=[False, False, True])
        assert volumes(given_inputs)[2] == 1
        assert sum(volumes(given_inputs)) == 10

    def test_rounding_up_never_hands_out_more_than_there_is(self):
        grid = SymbolGrid(lots("0.1"), lots("1"), lots("50"))
        given_inputs = inputs(DIVIDE, "2", bases=[6, 5, 5, 4], grid=grid, round_up=[True] * 4)
        assert volumes(given_inputs) == [1, 1, 0, 0]


def test_zero_base():
    assert has_zero_base(inputs(COPY, "1", bases=[10], master_basis=0))
    assert has_zero_base(inputs(COPY, "1", bases=[10], master_basis=-1))
    assert not has_zero_base(inputs(COPY, "1", bases=[10], master_basis=UNKNOWN_BASIS))
    assert not has_zero_base(inputs(COPY, "1", bases=[0], master_basis=10))
    assert has_zero_base(inputs(DIVIDE, "1", bases=[0, -4]))
    assert not has_zero_base(inputs(DIVIDE, "1", bases=[0, UNKNOWN_BASIS]))
    assert not has_zero_base(inputs(DIVIDE, "1", bases=[0, 4]))
    assert not has_zero_base(inputs(DIVIDE, "1", bases=[0], active=[False]))
    assert not has_zero_base(inputs(MULTIPLY, "1", ratios=["1"]))


rows = st.lists(
    st.tuples(
        st.one_of(st.integers(-5, 10**4), st.integers(1, 10**13), st.just(UNKNOWN_BASIS)),
        st.one_of(st.sampled_from([E8, E8 // 2, 2 * E8]), st.integers(1, 100 * E8)),
        st.booleans(),
        st.booleans(),
    ),
    min_size=1,
    max_size=120,
)
grids = st.builds(
    lambda step, low, high: SymbolGrid(step, step * low, step * (low + high)),
    st.sampled_from([10**4, 10**6, 3 * 10**6, 10**7, 5 * 10**7]),
    st.integers(1, 5),
    st.integers(0, 10_000),
)
steps_of_master = st.one_of(st.integers(1, 300), st.integers(1, 10**7))


def build(method, rounding, table, grid, master_steps, master_basis=0):
    bases, ratios, active, round_up = (list(column) for column in zip(*table, strict=True))
    subscriptions = subscription_set(len(table), active=active, round_up=round_up, ratios_e8=ratios)
    stored = np.array(bases if method is not MULTIPLY else [], dtype=np.int64)
    return OpenInputs(method, rounding, grid, master_steps * grid.step_e8, master_basis, subscriptions, stored)


def twin_copy(share: Fraction, rounding, grid, round_up) -> tuple[int, int]:
    steps = floor(share + Fraction(1, 2)) if rounding is NEAREST else floor(share)
    if steps > grid.max_steps:
        return grid.max_steps, SkipReason.CAPPED
    if steps >= grid.min_steps:
        return steps, SkipReason.NONE
    if round_up and share > 0 and grid.min_steps <= 5 * share:
        return grid.min_steps, SkipReason.NONE
    return 0, SkipReason.BELOW_MIN_LOT


@settings(max_examples=150)
@given(
    table=rows,
    grid=grids,
    master_steps=steps_of_master,
    master_basis=st.one_of(st.integers(1, 10**6), st.integers(1, 10**14)),
    rounding=st.sampled_from([NEAREST, DOWN]),
    method=st.sampled_from([COPY, MULTIPLY]),
)
def test_copying_equals_its_twin(table, grid, master_steps, master_basis, rounding, method):
    given_inputs = build(method, rounding, table, grid, master_steps, master_basis)
    decision = decide_open(given_inputs)
    for row, (basis, ratio_e8, active, round_up) in enumerate(table):
        got = (int(decision.steps[row]), int(decision.reasons[row]))
        if not active:
            assert got == (0, SkipReason.INACTIVE)
        elif method is COPY and basis == UNKNOWN_BASIS:
            assert got == (0, SkipReason.STALE_STATE)
        elif method is COPY and basis <= 0:
            assert got == (0, SkipReason.NO_EQUITY)
        else:
            share = Fraction(master_steps * ratio_e8, E8)
            share = share * Fraction(basis, master_basis) if method is COPY else share
            assert got == twin_copy(share, rounding, grid, round_up)


def twin_split(rounding, total: int, weights: list[int]) -> list[int]:
    shares = [Fraction(w * total, sum(weights)) for w in weights]
    if rounding is LARGEST_REMAINDER:
        parts = [floor(s) for s in shares]
        order = sorted(range(len(weights)), key=lambda i: (-(shares[i] - parts[i]), -weights[i], i))
        for i in order[: total - sum(parts)]:
            parts[i] += 1
        return parts
    parts = [floor(s + Fraction(1, 2)) for s in shares]
    for i in sorted(range(len(weights)), key=lambda i: (-weights[i], i)):
        parts[i] += sum(parts) < total
    for i in sorted(range(len(weights)), key=lambda i: (weights[i], i)):
        parts[i] -= sum(parts) > total and parts[i] > 0
    return parts


def twin_divide(rounding, total: int, weights: list[int], grid, round_up: list[bool]) -> list[int]:
    """One by one what the kernel does at once: fix who passes a limit, divide the rest again."""
    fixed: dict[int, int] = {}
    liftable = [
        up and grid.min_steps <= 5 * Fraction(total * weight, sum(weights))
        for up, weight in zip(round_up, weights, strict=True)
    ]
    while free := [i for i in range(len(weights)) if i not in fixed]:
        rest = total - sum(fixed.values())
        parts = dict(zip(free, twin_split(rounding, rest, [weights[i] for i in free]), strict=True))
        over = [i for i in free if parts[i] > grid.max_steps]
        below = [i for i in free if parts[i] < grid.min_steps and (parts[i] or liftable[i])]
        if over:
            fixed |= dict.fromkeys(over, grid.max_steps)
        elif below:
            fixed |= dict.fromkeys(below, 0)
            for i in sorted((i for i in below if liftable[i]), key=lambda i: (-weights[i], i)):
                if rest >= grid.min_steps:
                    fixed[i] = grid.min_steps
                    rest -= grid.min_steps
        else:
            fixed |= parts
    return [fixed[i] for i in range(len(weights))]


@settings(max_examples=150)
@given(
    table=rows,
    grid=grids,
    master_steps=steps_of_master,
    rounding=st.sampled_from([NEAREST_LARGEST, LARGEST_REMAINDER]),
)
def test_dividing_equals_its_twin(table, grid, master_steps, rounding):
    decision = decide_open(build(DIVIDE, rounding, table, grid, master_steps))
    chosen = [i for i, (basis, _, active, _) in enumerate(table) if active and basis > 0]
    weights, ups = [table[i][0] for i in chosen], [table[i][3] for i in chosen]
    expected = twin_divide(rounding, master_steps, weights, grid, ups) if chosen else []
    assert decision.steps[chosen].tolist() == expected
    assert int(decision.steps.sum()) == sum(expected) <= master_steps
    got = decision.steps[decision.steps > 0]
    assert ((got >= grid.min_steps) & (got <= grid.max_steps)).all()
    assert (decision.reasons[decision.steps == 0] != SkipReason.NONE).all()


@settings(max_examples=60)
@given(
    weights=st.lists(st.integers(1, 10**9), min_size=1, max_size=300),
    master_steps=st.integers(1, 10**6),
    rounding=st.sampled_from([NEAREST_LARGEST, LARGEST_REMAINDER]),
)
def test_without_limits_the_sum_is_the_masters(weights, master_steps, rounding):
    grid = SymbolGrid(10**6, 10**6, 10**6 * 10**7)
    given_inputs = build(DIVIDE, rounding, [(w, E8, True, False) for w in weights], grid, master_steps)
    assert int(decide_open(given_inputs).steps.sum()) == master_steps
