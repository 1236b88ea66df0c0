"""Each method's way to a volume in words, and that a stored decision is found again."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pytest
from open_twins import lots, make

from apportion.allocation.domain.allocations import (
    NO_COLUMN,
    Allocation,
    AllocationColumns,
    AllocationKind,
    DispatchState,
    MasterTrade,
)
from apportion.allocation.domain.explaining import explain_open
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod, LotMode, RoundingPolicy
from apportion.allocation.domain.opening import decide_open
from apportion.money import E8, INT64_MAX

M = AllocationMethod
NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
CENT = SymbolGrid(E8 // 100, E8 // 100, 100 * E8)
PRICE = {"contract_size_e8": 100_000 * E8, "conversion_e8": lots("0.7062")}
MARGINS = {"margins": [0, 0], "leverages": [100, 100], **PRICE}

EXPLAINED = {
    "lots": (make(M.DIVIDE_BY_LOT, 10, lots=[2, 3]), "10 lot × 2 / 5 = 4 → 4 lot by NEAREST_LARGEST, step 0.1"),
    "percents": (
        make(M.DIVIDE_BY_PERCENT, 10, percents=[30, 25]),
        "10 lot × 30 % / 100 % = 3 → 3 lot by NEAREST_LARGEST, step 0.1",
    ),
    "equity": (
        make(M.DIVIDE_BY_EQUITY, 1, bases=[200, 100]),
        "1 lot × 200 / 300 ≈ 0.66666666 → 0.7 lot by NEAREST_LARGEST, step 0.1",
    ),
    "equal risk": (
        make(M.EQUAL_RISK, "1.2", bases=[200, 300, 100], held=["0.2", "0.4", "0.6"], grid=CENT),
        "(1.2 lot + 0.6 held) × 200 / 500 − 0.2 held = 0.52 → 0.52 lot by NEAREST_LARGEST, step 0.01",
    ),
    "equity percent": (
        make(M.EQUITY_PERCENT, 9, bases=[1_000_000, 600_000], percents=[10, 20], **MARGINS),
        "10 % × 100 × 10000.00 / (100000 × 0.7062) lot ≈ 1.41602945 → 1.4 lot by NEAREST, step 0.1",
    ),
    "copy by equity": (
        make(M.COPY_BY_EQUITY, 1, bases=[2000], ratios=["0.5"], master_basis=1000),
        "1 lot × 2000 / 1000 × 0.5 = 1 → 1 lot by NEAREST, step 0.1",
    ),
    "copy by free margin": (
        make(M.COPY_BY_FREE_MARGIN, 2, bases=[700], master_basis=1000),
        "2 lot × 700 / 1000 = 1.4 → 1.4 lot by NEAREST, step 0.1",
    ),
    "fixed": (make(M.FIXED_LOT, 9, lots=["0.3"]), "0.3 lot = 0.3 → 0.3 lot by NEAREST, step 0.1"),
    "multiplier": (
        make(M.RATIO_MULTIPLIER, 1, ratios=["1.3"]),
        "1 lot × 1.3 = 1.3 → 1.3 lot by NEAREST, step 0.1",
    ),
    "risk": (
        make(M.RISK, 10, bases=[500], percents=[20], master_basis=1000),
        "10 lot × 500 / 1000 × 20 % = 1 → 1 lot by NEAREST, step 0.1",
    ),
    "equity share": (
        make(M.EQUITY_SHARE, 1, bases=[1_200_000], percents=["0.01"]),
        "12000.00 lot × 0.01 % = 1.2 → 1.2 lot by NEAREST, step 0.1",
    ),
    "a mode": (
        make(
            M.LOT_MULTIPLIER,
            2,
            bases=[-1, 5],
            master_basis=9,
            lots=["1.5", 1],
            modes=[LotMode.MULTIPLIER, LotMode.RISK],
        ),
        "2 lot × 1.5 = 3 → 3 lot by NEAREST, step 0.1",
    ),
    "carry": (
        make(M.FIXED_LOT, 1, lots=["0.04"], carries=["0.03"], rounding=RoundingPolicy.CARRY),
        "0.04 lot = 0.04 + 0.03 owed → 0.1 lot by CARRY, step 0.1",
    ),
    "cut": (
        make(M.DIVIDE_BY_LOT, 10, lots=[5, 5], caps=[4, 9]),
        "10 lot × 5 / 10 = 5 → 4 lot by NEAREST_LARGEST, step 0.1 (CAPPED)",
    ),
    "out": (make(M.DIVIDE_BY_LOT, 10, lots=[5, 5], active=[False, True]), "0 lot: INACTIVE"),
}


def stored(inputs) -> tuple[Allocation, AllocationColumns]:
    """As a decision is kept."""
    decision = decide_open(inputs)
    allocation = Allocation(
        allocation_id=1,
        label=1,
        master_id=1,
        kind=AllocationKind.OPEN,
        trade=MasterTrade(1, 1, "EURUSD", inputs.master_volume_e8, E8, 0),
        wave=0,
        before_volume_e8=0,
        method=inputs.method,
        rounding=inputs.rounding,
        grid=inputs.grid,
        master_basis=inputs.master_basis,
        blanket_reason=inputs.blanket_reason,
        set_version=1,
        halt_epoch=0,
        row_count=decision.steps.size,
        child_count=0,
        skipped_count=0,
        volume_sum_e8=0,
        decide_time=NOW,
        not_after_time=None,
        dispatch_state=DispatchState.DONE,
        dispatch_time=None,
        contract_size_e8=inputs.contract_size_e8,
        conversion_e8=inputs.conversion_e8,
        currency_digits=inputs.currency_digits,
    )
    columns = AllocationColumns(
        volumes_e8=decision.steps * inputs.grid.step_e8,
        reasons=decision.reasons,
        bases=inputs.bases,
        child_trade_ids=NO_COLUMN,
        position_tickets=NO_COLUMN,
        gate_reasons=inputs.gate_reasons,
        caps_e8=inputs.caps_e8,
        figures=inputs.figures,
        carries_e8=decision.carries_e8,
    )
    return allocation, columns


@pytest.mark.parametrize("name", EXPLAINED)
def test_the_way_to_a_volume(name):
    inputs, text = EXPLAINED[name]
    allocation, columns = stored(inputs)
    agrees, children = explain_open(allocation, columns, inputs.subscriptions, range(len(inputs.subscriptions)))
    assert agrees
    assert children[0].text == text
    for child in children:
        assert child.stored_volume_e8 == child.recomputed_volume_e8


@pytest.mark.parametrize("name", ["equal risk", "carry", "cut"])
def test_a_decision_on_other_figures_does_not_agree(name):
    inputs, _ = EXPLAINED[name]
    allocation, columns = stored(inputs)
    others = {
        "equal risk": replace(columns, figures=replace(columns.figures, held_e8=np.zeros(3, dtype=np.int64))),
        "carry": replace(columns, carries_e8=columns.carries_e8 + 1),
        "cut": replace(columns, caps_e8=NO_COLUMN),
    }
    agrees, _ = explain_open(allocation, others[name], inputs.subscriptions, range(1))
    assert not agrees


def test_the_exact_share_has_no_rounding():
    inputs, _ = EXPLAINED["equity"]
    _, children = explain_open(*stored(inputs), inputs.subscriptions, range(1, 2))
    assert children[0].exact_volume_e8 == Fraction(E8, 3)


def test_the_inputs_of_a_row_come_with_it():
    inputs, _ = EXPLAINED["equal risk"]
    figures = replace(inputs.figures, margins=np.array([7, 8, 9]), leverages=np.array([100, 200, 300]))
    inputs = replace(inputs, figures=figures, caps_e8=np.array([E8, INT64_MAX, 0]))
    _, children = explain_open(*stored(inputs), inputs.subscriptions, range(1, 3))
    rows = [(c.child_trade_id & 3, c.margin_minor, c.leverage, c.held_volume_e8, c.cap_volume_e8) for c in children]
    assert rows == [(1, 8, 200, lots("0.4"), None), (2, 9, 300, lots("0.6"), 0)]
