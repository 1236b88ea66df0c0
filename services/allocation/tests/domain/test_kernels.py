"""The kernels of opening decisions against obvious twins in fractions, and what holds for all of them."""

from __future__ import annotations

import itertools
from dataclasses import replace
from fractions import Fraction
from math import floor, gcd

import numpy as np
import pytest
from allocation_sets import subscription_set
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from open_twins import HALF, column, make, twin_copy, twin_divide

from apportion.allocation.domain.copy_settings import CopySettings
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod, LotMode, RoundingPolicy
from apportion.allocation.domain.open_inputs import UNKNOWN_BASIS, Figures, OpenInputs
from apportion.allocation.domain.opening import decide_open
from apportion.allocation.domain.reasons import SkipReason
from apportion.money import E8, INT64_MAX

M, P = AllocationMethod, RoundingPolicy
DIVIDING = {
    M.DIVIDE_BY_LOT: "lots_e8",
    M.DIVIDE_BY_PERCENT: "percents_e8",
    M.DIVIDE_BY_BALANCE: None,
    M.DIVIDE_BY_EQUITY: None,
    M.EQUAL_RISK: None,
}
ALONE = sorted(set(M) - set(DIVIDING))
WIDE = SymbolGrid(10**6, 10**6, 10**6 * 10**12)

figures = st.one_of(st.integers(-5, 10**4), st.integers(1, 10**13), st.just(UNKNOWN_BASIS))
parameters = st.one_of(st.sampled_from([0, E8, E8 // 2, 30 * E8]), st.integers(0, 100 * E8))
rows = st.lists(
    st.fixed_dictionaries(
        {
            "basis": figures,
            "parameter": parameters,
            "mode": st.sampled_from(LotMode),
            "leverage": st.integers(0, 1000),
            "active": st.booleans(),
            "factor": st.sampled_from([0, 0, 2 * E8, 5 * E8, 7 * E8 // 3]),
            "cap": st.sampled_from([0, 3, 50, 10**9]),
            "held": st.builds(Fraction, st.integers(0, 200), st.sampled_from([1, 2, 5])),
            "owed": st.one_of(st.just(0), st.integers(-(10**8), 10**8)),
        }
    ),
    min_size=1,
    max_size=100,
)
grids = st.builds(
    lambda step, low, high: SymbolGrid(step, step * low, step * (low + high)),
    st.sampled_from([10**4, 10**6, 3 * 10**6, 10**7, 5 * 10**7]),
    st.integers(1, 5),
    st.integers(0, 10_000),
)
steps_of_master = st.one_of(st.integers(1, 300), st.integers(1, 10**7))


def build(method, policy, table, grid, master_steps, *, with_caps=False, **more) -> OpenInputs:
    def take(name):
        return [row[name] for row in table]

    has_basis = method not in (M.DIVIDE_BY_LOT, M.DIVIDE_BY_PERCENT, M.FIXED_LOT, M.RATIO_MULTIPLIER)
    subscriptions = subscription_set(
        len(table),
        active=take("active"),
        lots_e8=take("parameter"),
        percents_e8=[0] * len(table) if method is M.EQUAL_RISK else take("parameter"),
        ratios_e8=[max(1, parameter) for parameter in take("parameter")],
        modes=take("mode"),
        settings=[
            CopySettings(round_up_to_min=bool(factor), max_round_up_factor_e8=factor) for factor in take("factor")
        ],
    )
    return OpenInputs(
        method=method,
        rounding=policy,
        grid=grid,
        master_volume_e8=master_steps * grid.step_e8,
        master_basis=more.pop("master_basis", 0),
        subscriptions=subscriptions,
        bases=column(take("basis") if has_basis else []),
        caps_e8=column([cap * grid.step_e8 for cap in take("cap")] if with_caps else []),
        figures=Figures(
            leverages=column(take("leverage")),
            held_e8=column([int(held * grid.step_e8) for held in take("held")]),
            carries_e8=column(take("owed")),
        ),
        **more,
    )


@settings(max_examples=300)
@given(
    table=rows,
    grid=grids,
    master_steps=steps_of_master,
    policy=st.sampled_from([P.NEAREST_LARGEST, P.LARGEST_REMAINDER, P.CARRY]),
    method=st.sampled_from(sorted(DIVIDING)),
    with_caps=st.booleans(),
)
def test_dividing_equals_its_twin(table, grid, master_steps, policy, method, with_caps):
    assume(not (method is M.EQUAL_RISK and policy is P.CARRY))
    weight = "parameter" if DIVIDING[method] else "basis"
    chosen = [i for i, row in enumerate(table) if row["active"] and row[weight] > 0]
    weights = [table[i][weight] for i in chosen]
    # What is spare of percents has a test of its own.
    assume(method is not M.DIVIDE_BY_PERCENT or sum(weights) >= 100 * E8)
    inputs = build(method, policy, table, grid, master_steps, with_caps=with_caps)
    had = [Fraction(0)] * len(chosen)
    if method is M.EQUAL_RISK:
        had = [table[i]["held"] for i in chosen]
    elif policy is P.CARRY:
        had = [Fraction(-table[i]["owed"], grid.step_e8) for i in chosen]
    most = [min(grid.max_steps, table[i]["cap"] if with_caps else grid.max_steps) for i in chosen]
    factors = [Fraction(table[i]["factor"], E8) for i in chosen]

    decision = decide_open(inputs)
    expected, cut = twin_divide(master_steps, weights, had, policy, grid.min_steps, most, factors)

    assert decision.steps[chosen].tolist() == expected
    assert int(decision.steps.sum()) == sum(expected) <= master_steps
    for place, row in enumerate(chosen):
        steps, reason = expected[place], SkipReason(int(decision.reasons[row]))
        assert reason == (SkipReason.CAPPED if place in cut else SkipReason.NONE if steps else SkipReason.BELOW_MIN_LOT)
        assert steps == 0 or grid.min_steps <= steps <= most[place]
    if policy is P.CARRY:
        assert int(decision.carries_e8.sum()) == sum(row["owed"] for row in table)


def exact_share(method, mode, row, inputs) -> Fraction:
    """Of a copying or deriving method, in steps."""
    volume = Fraction(abs(inputs.master_volume_e8), E8)
    basis, parameter = row["basis"], Fraction(row["parameter"], E8)
    ratio = Fraction(max(1, row["parameter"]), E8)
    units = Fraction(basis, 10**inputs.currency_digits)
    relative = Fraction(basis, inputs.master_basis)
    shares = {
        M.EQUITY_PERCENT: lambda: (
            parameter / 100 * row["leverage"] * units / Fraction(inputs.contract_size_e8 * inputs.conversion_e8, E8**2)
        ),
        M.COPY_BY_BALANCE: lambda: volume * relative * ratio,
        M.COPY_BY_EQUITY: lambda: volume * relative * ratio,
        M.COPY_BY_FREE_MARGIN: lambda: volume * relative,
        M.FIXED_LOT: lambda: parameter,
        M.RATIO_MULTIPLIER: lambda: volume * ratio,
        M.RISK: lambda: volume * relative * parameter / 100,
        M.EQUITY_SHARE: lambda: units * parameter / 100,
    }
    if method is M.LOT_MULTIPLIER and mode is LotMode.MULTIPLIER:
        return volume * parameter * E8 / inputs.grid.step_e8
    method = {LotMode.FIXED: M.FIXED_LOT, LotMode.RISK: M.RISK, LotMode.EQUITY: M.EQUITY_SHARE}[mode] if (
        method is M.LOT_MULTIPLIER
    ) else method  # fmt: skip
    return shares[method]() * E8 / inputs.grid.step_e8


@settings(max_examples=300)
@given(
    table=rows,
    grid=grids,
    master_steps=steps_of_master,
    master_basis=st.one_of(st.integers(1, 10**6), st.integers(1, 10**14)),
    policy=st.sampled_from([P.NEAREST, P.DOWN, P.CARRY]),
    method=st.sampled_from(ALONE),
    with_caps=st.booleans(),
    digits=st.sampled_from([0, 2, 3, 8]),
    contract_size_e8=st.sampled_from([E8 // 100, 12_345_678_901, 100_000 * E8, INT64_MAX]),
)
def test_children_alone_equal_their_twin(
    table, grid, master_steps, master_basis, policy, method, with_caps, digits, contract_size_e8
):
    price = {"contract_size_e8": contract_size_e8, "conversion_e8": 70_620_000, "currency_digits": digits}
    inputs = build(method, policy, table, grid, master_steps, with_caps=with_caps, master_basis=master_basis, **price)
    decision = decide_open(inputs)
    for place, row in enumerate(table):
        got = int(decision.steps[place]), SkipReason(int(decision.reasons[place])).name
        mode = row["mode"] if method is M.LOT_MULTIPLIER else None
        needs_basis = inputs.bases.size and mode not in (LotMode.MULTIPLIER, LotMode.FIXED)
        most = min(grid.max_steps, row["cap"] if with_caps else grid.max_steps)
        if not row["active"]:
            assert got == (0, "INACTIVE")
        elif method is M.EQUITY_PERCENT and not row["leverage"]:
            assert got == (0, "NO_PRICE")
        elif needs_basis and row["basis"] == UNKNOWN_BASIS:
            assert got == (0, "STALE_STATE")
        elif needs_basis and row["basis"] <= 0:
            assert got == (0, "NO_EQUITY")
        else:
            share = exact_share(method, mode, row, inputs)
            if policy is P.CARRY:
                share = Fraction(floor(share * grid.step_e8 + HALF) + row["owed"], grid.step_e8)
            factor = Fraction(row["factor"], E8)
            expected = twin_copy(max(share, Fraction(0)), policy, grid.min_steps, most, factor)
            assert got == expected
            if policy is P.CARRY:
                left = row["owed"] if expected[1] == "CAPPED" else (share - expected[0]) * grid.step_e8
                assert decision.carries_e8[place] == left


weights_lists = st.lists(st.integers(1, 10**9), min_size=2, max_size=150)
plain_policies = pytest.mark.parametrize(
    ("policy", "reach"), [(P.NEAREST_LARGEST, Fraction(3, 2)), (P.LARGEST_REMAINDER, 1), (P.CARRY, 1)]
)


def plain(weights, master_steps, policy, method=M.DIVIDE_BY_EQUITY, **more) -> OpenInputs:
    zeros = [0] * len(weights)
    return make(method, Fraction(master_steps, 100), bases=weights, rounding=policy, grid=WIDE, carries=zeros, **more)


@plain_policies
@settings(max_examples=60)
@given(weights=weights_lists, master_steps=st.integers(1, 10**6), sells=st.booleans())
def test_without_limits_sums_are_exact_parts_near_and_a_sale_is_as_the_purchase(
    policy, reach, weights, master_steps, sells
):
    bought = plain(weights, master_steps, policy)
    steps = decide_open(bought).steps
    assert int(steps.sum()) == master_steps
    for part, weight in zip(steps.tolist(), weights, strict=True):
        assert abs(part - Fraction(weight * master_steps, sum(weights))) < reach
    sold = replace(bought, master_volume_e8=-bought.master_volume_e8)
    assert decide_open(sold).steps.tolist() == steps.tolist()


@plain_policies
@given(weights=weights_lists, master_steps=st.integers(1, 10**6))
def test_more_weight_never_gets_less(policy, reach, weights, master_steps):
    steps = decide_open(plain(weights, master_steps, policy)).steps.tolist()
    ranked = sorted(zip(weights, steps, strict=True))
    for (low, low_steps), (high, high_steps) in itertools.pairwise(ranked):
        assert low == high or low_steps <= high_steps


@plain_policies
@given(weights=st.permutations([n * n + 1 for n in range(90)]), master_steps=st.integers(1, 10**6))
def test_the_order_of_logins_matters_for_equals_only(policy, reach, weights, master_steps):
    ordered = sorted(weights)
    steps = dict(zip(ordered, decide_open(plain(ordered, master_steps, policy)).steps.tolist(), strict=True))
    assert decide_open(plain(weights, master_steps, policy)).steps.tolist() == [steps[weight] for weight in weights]


@settings(max_examples=60)
@given(
    weights=st.lists(st.integers(1, 10**6), min_size=1, max_size=40),
    master_steps=st.integers(1, 10**4),
    data=st.data(),
)
def test_equal_risk_leaves_everybody_at_one_level(weights, master_steps, data):
    """Who got something carries, per equity, less than a step more than anybody who could have had it instead."""
    held = data.draw(st.lists(st.integers(0, 500), min_size=len(weights), max_size=len(weights)))
    inputs = plain(weights, master_steps, P.LARGEST_REMAINDER, M.EQUAL_RISK, held=[Fraction(h, 100) for h in held])
    steps = decide_open(inputs).steps.tolist()
    assert sum(steps) == master_steps
    lowest = min(Fraction(h + s + 1, w) for h, s, w in zip(held, steps, weights, strict=True))
    for had, got, weight in zip(held, steps, weights, strict=True):
        assert got == 0 or Fraction(had + got - 1, weight) <= lowest


@settings(max_examples=60)
@given(
    percents=st.lists(st.integers(0, 20 * E8), min_size=1, max_size=120),
    master_steps=st.integers(1, 10**6),
    policy=st.sampled_from([P.NEAREST_LARGEST, P.LARGEST_REMAINDER]),
)
def test_percents_below_100_stay_near_their_part_of_all(percents, master_steps, policy):
    assume(sum(percents) <= 100 * E8)
    reach = Fraction(3, 2) if policy is P.NEAREST_LARGEST else 1
    inputs = make(
        M.DIVIDE_BY_PERCENT,
        Fraction(master_steps, 100),
        percents=[Fraction(p, E8) for p in percents],
        rounding=policy,
        grid=WIDE,
    )
    steps = decide_open(inputs).steps.tolist()
    shares = [Fraction(p * master_steps, 100 * E8) for p in percents]
    assert all(abs(part - share) < reach for part, share in zip(steps, shares, strict=True))
    assert abs(sum(steps) - sum(shares)) < reach


@settings(max_examples=60)
@given(
    table=st.lists(st.tuples(st.integers(1, 10**6), st.integers(0, 3)), min_size=2, max_size=30),
    volumes=st.lists(st.integers(1, 50), min_size=2, max_size=12),
    minimum=st.integers(1, 4),
)
def test_carries_keep_their_sum_and_stay_bounded(table, volumes, minimum):
    """Over many trades nobody is owed more than the steps that the grid can keep from him."""
    weights, grid = [w for w, _ in table], SymbolGrid(10**6, minimum * 10**6, 10**15)
    carries = column([0] * len(table))
    for volume in volumes:
        inputs = make(M.DIVIDE_BY_EQUITY, Fraction(volume, 100), bases=weights, rounding=P.CARRY, grid=grid)
        inputs = replace(inputs, figures=Figures(carries_e8=carries))
        decision = decide_open(inputs)
        carries = decision.carries_e8
        assert int(carries.sum()) == 0
        assert minimum > 1 or int(np.abs(carries).max()) < 2 * 10**6


@settings(max_examples=100)
@given(
    bases=st.lists(st.integers(1, INT64_MAX), min_size=1, max_size=5),
    master_steps=st.one_of(st.integers(1, 1000), st.integers(1, 2**55)),
    method=st.sampled_from([M.DIVIDE_BY_EQUITY, M.COPY_BY_EQUITY, M.RISK, M.EQUITY_SHARE]),
    grid=st.sampled_from([SymbolGrid(1, 1, INT64_MAX), SymbolGrid(100, 100, INT64_MAX)]),
)
def test_at_the_edges_of_int64_results_are_exact_or_refused(bases, master_steps, method, grid):
    master_basis = gcd(*bases) * 3
    percents = [25] * len(bases)
    inputs = make(method, 1, bases=bases, percents=percents, ratios=[1] * len(bases), grid=grid)
    inputs = replace(inputs, master_volume_e8=master_steps * grid.step_e8, master_basis=master_basis)
    if method is M.DIVIDE_BY_EQUITY:
        exact = [Fraction(b * master_steps, sum(bases)) for b in bases]
    elif method is M.EQUITY_SHARE:
        exact = [Fraction(b * 25 * E8, 10_000 * grid.step_e8) for b in bases]
    else:
        part = 1 if method is M.COPY_BY_EQUITY else Fraction(1, 4)
        exact = [Fraction(b * master_steps, master_basis) * part for b in bases]
    try:
        steps = decide_open(inputs).steps.tolist()
    except OverflowError:
        assert method is M.DIVIDE_BY_EQUITY
        assert max(exact) > grid.max_steps or sum(bases) > INT64_MAX
        return
    for part, share in zip(steps, exact, strict=True):
        assert abs(part - min(share, grid.max_steps)) < Fraction(3, 2)
