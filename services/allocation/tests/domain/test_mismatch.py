"""Which rows of a dealing desk are red, and why."""

from __future__ import annotations

from dataclasses import replace

import pytest

from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.domain.mismatch import (
    ChildFacts,
    MasterTradeFacts,
    Mismatch,
    child_mismatches,
    master_mismatches,
)
from apportion.money import E8

STEP = E8 // 100
WELL = MasterTradeFacts(
    method=AllocationMethod.DIVIDE_BY_EQUITY,
    distributes_profit=False,
    open_volume_e8=E8,
    expected_volume_e8=E8,
    actual_volume_e8=E8,
    step_e8=STEP,
    has_all_children=True,
    short_child_count=0,
    early_child_count=0,
    missing_child_count=0,
    extra_child_count=0,
)
CHILD = ChildFacts(
    is_foreign=False, is_rejected=False, is_missing=False, is_extra=False, is_master_closed=False, has_left=False
)
COPIES = {"method": AllocationMethod.RATIO_MULTIPLIER}


@pytest.mark.parametrize(
    ("changes", "mismatches"),
    [
        ({}, ()),
        ({"actual_volume_e8": 0}, ()),  # on its way
        ({"expected_volume_e8": E8 - STEP}, (Mismatch.UNALLOCATED_REST,)),
        ({"expected_volume_e8": E8 - STEP + 1}, ()),  # less than a step is rounding
        ({"expected_volume_e8": E8 - STEP, "has_all_children": False}, ()),
        ({"expected_volume_e8": E8 + STEP}, (Mismatch.CHILD_EXTRA,)),  # waits for the master's last part
        ({"expected_volume_e8": E8 + STEP - 1}, ()),
        ({"expected_volume_e8": E8 + STEP, "short_child_count": 1}, (Mismatch.CHILD_REJECTED,)),
        ({"expected_volume_e8": E8 + STEP, "early_child_count": 1}, (Mismatch.CHILD_MISSING,)),
        ({"short_child_count": 1}, (Mismatch.CHILD_REJECTED,)),
        ({"short_child_count": 1, "open_volume_e8": 0, "expected_volume_e8": 0}, ()),
        ({"missing_child_count": 1}, (Mismatch.CHILD_MISSING,)),
        ({"early_child_count": 1}, (Mismatch.CHILD_MISSING,)),
        ({"early_child_count": 1, "open_volume_e8": 0, "expected_volume_e8": 0}, ()),
        ({"extra_child_count": 1, "short_child_count": 1}, (Mismatch.CHILD_REJECTED, Mismatch.CHILD_EXTRA)),
        (COPIES, ()),
        (COPIES | {"actual_volume_e8": 3 * E8}, (Mismatch.COPYING_METHOD,)),
        (COPIES | {"early_child_count": 1}, ()),
        (COPIES | {"expected_volume_e8": 0}, ()),
        (COPIES | {"expected_volume_e8": 9 * E8}, ()),
        (COPIES | {"missing_child_count": 1}, (Mismatch.CHILD_MISSING,)),
        ({"distributes_profit": True, "actual_volume_e8": 0, "missing_child_count": 1}, (Mismatch.PL_MODE,)),
    ],
)
def test_a_masters_trade(changes, mismatches):
    assert master_mismatches(replace(WELL, **changes)) == mismatches


@pytest.mark.parametrize(
    ("fact", "mismatch"),
    [
        ("is_foreign", Mismatch.NO_MASTER_TRADE),
        ("is_rejected", Mismatch.CHILD_REJECTED),
        ("is_missing", Mismatch.CHILD_MISSING),
        ("is_extra", Mismatch.CHILD_EXTRA),
        ("is_master_closed", Mismatch.MASTER_CLOSED),
        ("has_left", Mismatch.ACCOUNT_LEFT),
    ],
)
def test_a_child(fact, mismatch):
    assert child_mismatches(CHILD) == ()
    assert child_mismatches(replace(CHILD, **{fact: True})) == (mismatch,)
