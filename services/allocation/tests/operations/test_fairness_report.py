"""Who gained from rounding, over many decisions."""

from __future__ import annotations

from datetime import timedelta

import pytest

from apportion.allocation.domain.fairness import MOST_VOLUME_E8
from apportion.allocation.domain.fairness_totals import FairnessReport, Span
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod, RoundingPolicy
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.errors import SpanTooLong
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.get_fairness_report import get_fairness_report
from apportion.allocation.storage import fairness_spans
from apportion.errors import NotFound
from apportion.money import E8

M, P = AllocationMethod, RoundingPolicy
TENTH = SymbolGrid(E8 // 10, E8 // 10, 100 * E8)
DAY = timedelta(days=1)


async def report(house, master) -> FairnessReport:
    now = house.clock.now()
    return await get_fairness_report(house.engine, 1, master.master_id, Span(now - DAY, now + DAY))


async def divided(house, rounding: RoundingPolicy, count: int, *, method=M.DIVIDE_BY_LOT):
    """One of ten lots between 0.55 and 9.45, again and again."""
    house.symbols.grids["EURUSD"] = TENTH
    master = await house.master(method, rounding=rounding)
    await house.follower(master, 102, lot_e8=945 * E8 // 100)
    await house.follower(master, 101, lot_e8=55 * E8 // 100)
    for number in range(count):
        await house.deal(64, 1.0, position=900 + number)
    return master


@pytest.mark.parametrize(
    ("rounding", "small_e8"), [(P.NEAREST_LARGEST, 4 * E8 // 10), (P.LARGEST_REMAINDER, 4 * E8 // 10)]
)
async def test_exact_and_allotted_are_summed_in_login_order(house, rounding, small_e8):
    master = await divided(house, rounding, 4)
    found = await report(house, master)
    assert (found.decision_count, found.logins.tolist()) == (4, [10_101, 10_102])
    assert found.trade_counts.tolist() == [4, 4]
    assert found.exact_e8.tolist() == [22_000_000, 378_000_000]
    assert found.allotted_e8.tolist() == [small_e8, 4 * E8 - small_e8]
    assert found.owed_e8.sum() == 0
    assert found.carries_e8.tolist() == [0, 0]


async def test_by_carry_what_is_owed_is_what_is_carried(house):
    master = await divided(house, P.CARRY, 7)
    found = await report(house, master)
    assert found.owed_e8.tolist() == found.carries_e8.tolist()
    assert found.exact_e8.tolist() == [7 * 5_500_000, 7 * 94_500_000]
    assert abs(found.owed_e8[0]) < E8 // 10


async def test_copied_volumes_and_changed_sets_count_too(house):
    house.symbols.grids["EURUSD"] = TENTH
    master = await house.master(M.RATIO_MULTIPLIER)
    await house.follower(master, 101, ratio_e8=E8 // 100 * 104)
    await house.deal(64, 1.0, position=900)
    subscription = await house.follower(master, 102, ratio_e8=E8 // 100 * 108)
    await house.deal(64, 1.0, position=901)
    await house.end(subscription)
    await house.deal(64, 1.0, position=902)
    found = await report(house, master)
    assert found.trade_counts.tolist() == [3, 1]
    assert found.owed_e8.tolist() == [3 * 4_000_000, -2_000_000]


async def test_only_decisions_of_the_span_count(house):
    master = await divided(house, P.NEAREST_LARGEST, 1)
    house.clock.advance(60)
    await house.deal(64, 1.0, position=950)
    now = house.clock.now()
    found = await get_fairness_report(house.engine, 1, master.master_id, Span(now, now + DAY))
    assert found.decision_count == 1
    with pytest.raises(NotFound):
        await get_fairness_report(house.engine, 2, master.master_id, Span(now, now + DAY))
    nothing = await get_fairness_report(house.engine, 1, master.master_id, Span(now + DAY, now + 2 * DAY))
    assert (nothing.decision_count, nothing.subscription_ids.size) == (0, 0)


@pytest.mark.parametrize("limits", [{"MOST_DECISIONS": 2}, {"MOST_ROWS": 5}])
async def test_a_span_that_is_too_long_says_how_far_it_reaches(house, monkeypatch, limits):
    master = await divided(house, P.NEAREST_LARGEST, 0)
    start = house.clock.now()
    for position in range(900, 904):
        await house.deal(64, 1.0, position=position)
        house.clock.advance(1)
    for name, value in limits.items():
        monkeypatch.setattr(fairness_spans, name, value)
    with pytest.raises(SpanTooLong) as caught:
        await get_fairness_report(house.engine, 1, master.master_id, Span(start, start + DAY))
    end = start + timedelta(seconds=2)
    assert caught.value.metadata["endTime"] == end.isoformat()
    found = await get_fairness_report(house.engine, 1, master.master_id, Span(start, end))
    assert found.decision_count == 2


async def test_absurd_shares_are_cut_and_explained_all_the_same(house):
    house.symbols.grids["EURUSD"] = TENTH
    master = await house.master(M.COPY_BY_EQUITY, equity_minor=1)
    await house.follower(master, 101, equity_minor=1_000_000_000)  # is due a thousand million times his 100 lots
    await house.follower(master, 102, equity_minor=1)
    await house.deal(64, 100.0, position=900)
    found = await report(house, master)
    assert found.exact_e8.tolist() == [MOST_VOLUME_E8, 100 * E8]
    assert found.allotted_e8.tolist() == [100 * E8, 100 * E8]
    (fact,) = await house.facts("allocations")
    explanation = await explain_allocation(house.engine, 1, fact.allocation.allocation_id, first=0, limit=10)
    assert explanation.agrees
    assert [child.reason for child in explanation.children] == [SkipReason.CAPPED, SkipReason.NONE]
    assert explanation.children[0].exact_volume_e8 == 10**9 * 100 * E8
