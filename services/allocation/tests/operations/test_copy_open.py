"""A new subscription may open at once what its master has open already."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.copy_settings import CopySettings, DirectionFilter
from apportion.allocation.domain.methods import AllocationMethod, RoundingPolicy
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.errors import CopyOpenPositionsNotAllowed
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.get_allocation import get_allocation
from apportion.allocation.operations.halt_master import HaltMaster, halt_master
from apportion.allocation.storage.allocations import list_undispatched
from apportion.errors import UpstreamUnavailable
from apportion.money import E8
from apportion.storage import RequestKey, transaction

OUT = 2
COPY = CopySettings(copy_open_positions=True)
SELLS = CopySettings(copy_open_positions=True, direction_filter=DirectionFilter.SELL_ONLY)


async def opened(house, method=AllocationMethod.RATIO_MULTIPLIER, **more):
    """A master with a follower; he has bought 1.00 on position 900 and sold 0.40 on 901, all filled."""
    master = await house.master(method, **more)
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900, stops=(E8, 0))
    await house.deal(64, -0.4, position=901)
    for number, batch in enumerate(await house.dispatch()):
        await house.fill(batch, first_position=5_000 + number)
    return master


async def sent(house):
    """Batches of what was decided by commands, as the dispatcher finds it."""
    async with transaction(house.engine) as tx:
        waiting = await list_undispatched(tx, before=house.clock.now().replace(year=2030), limit=100)
    before = len(house.orders.batches)
    for _, allocation_id in waiting:
        await house.dispatch_stored(allocation_id)
    return house.orders.batches[before:]


async def test_only_the_new_one_opens_what_is_left_of_each_position(house):
    master = await opened(house)
    await house.deal(64, -0.25, position=900, entry=OUT)
    await house.dispatch()
    await house.follower(master, 102, ratio_e8=2 * E8, settings=COPY)
    batches = await sent(house)
    assert [(batch.account_ids.tolist(), batch.volumes_e8.tolist()) for batch in batches] == [
        ([102], [3 * E8 // 2]),
        ([102], [-4 * E8 // 5]),
    ]
    assert [batch.max_slippages_e8.size for batch in batches] == [0, 0], "nobody limits the slippage"
    assert batches[0].stop_losses_e8.tolist() == [E8]
    *_, first, second = [fact.allocation for fact in await house.facts("allocations")]
    assert [(fact.wave, fact.position_ticket, fact.master_volume_e8) for fact in (first, second)] == [
        (1, 900, 3 * E8 // 4),
        (1, 901, -2 * E8 // 5),
    ]


async def test_the_decision_explains_itself(house):
    master = await opened(house, AllocationMethod.COPY_BY_EQUITY)
    subscription = await house.follower(master, 102, equity_minor=250_000, settings=COPY)
    *_, fact = [fact.allocation for fact in await house.facts("allocations")]
    explanation = await explain_allocation(house.engine, 1, fact.allocation_id, first=0, limit=10)
    assert explanation.agrees
    (child,) = explanation.children
    assert (child.subscription_id, child.stored_volume_e8) == (subscription.subscription_id, -E8)
    header, page = await get_allocation(house.engine, 1, fact.allocation_id, first=0, limit=10)
    assert (header.row_count, page.routes.account_ids.tolist()) == (1, [102])


async def test_nobody_subscribes_while_the_figures_are_missing_that_copies_need(house):
    master = await opened(house, AllocationMethod.COPY_BY_EQUITY)
    house.states.observed_time = house.clock.now() - timedelta(seconds=11)
    asked_count = house.states.asked_count
    with pytest.raises(UpstreamUnavailable):
        await house.follower(master, 102, settings=COPY)
    assert house.states.asked_count == asked_count + 1
    house.states.observed_time = None
    house.states.unheard.add(102)
    with pytest.raises(UpstreamUnavailable):
        await house.follower(master, 102, settings=COPY)
    assert house.states.asked_count == asked_count + 2, "they are fresh, and the new account is not among them"
    house.states.unheard.clear()
    await house.follower(master, 102, settings=COPY)
    assert [batch.account_ids.tolist() for batch in await sent(house)] == [[102], [102]]


async def test_slippage_is_not_limited_by_a_price_that_nobody_knows(house):
    master = await house.master()
    await house.deal(64, 1.0, position=900, price=0.0)
    await house.follower(master, 102, settings=replace(COPY, max_slippage_points=30))
    assert await sent(house) == []
    *_, fact = [fact.allocation for fact in await house.facts("allocations")]
    _, page = await get_allocation(house.engine, 1, fact.allocation_id, first=0, limit=10)
    assert page.reasons.tolist() == [SkipReason.NO_PRICE]
    await house.follower(master, 103, settings=COPY)
    assert [batch.account_ids.tolist() for batch in await sent(house)] == [[103]], "who limits nothing"


async def test_slippage_is_measured_from_the_price_of_the_masters_position(house):
    master = await opened(house)
    await house.deal(64, 3.0, position=900, price=1.2)
    await house.deal(64, -2.0, position=900, entry=OUT, price=1.9)
    await house.dispatch()
    await house.follower(master, 102, settings=replace(COPY, max_slippage_points=30))
    bought, sold = await sent(house)
    assert (bought.reference_price_e8, sold.reference_price_e8) == (115_000_000, E8), "1 lot at 1.0, 3 at 1.2"
    assert (bought.max_slippages_e8.tolist(), sold.max_slippages_e8.tolist()) == ([30_000], [30_000])
    await house.tell_refused(bought, "SLIPPAGE")
    (child,) = await house.children(states=(ChildTradeState.REJECTED,))
    assert (child.account_id, child.reason) == (102, "SLIPPAGE")
    assert await house.reopen() == [], "a market that has moved on is no passing refusal"


async def test_a_position_that_is_older_than_the_limit_is_not_copied(house):
    master = await opened(house)
    house.clock.advance(60)
    await house.deal(64, 0.1, position=902, age_ms=500)
    await house.deal(64, 0.1, position=900)
    await house.dispatch()
    house.clock.advance(2)
    await house.follower(master, 102, settings=replace(COPY, max_age_ms=2_400))
    assert await sent(house) == [], "one is 2.5 s old, the others a minute, whatever was added since"
    facts = (await house.facts("allocations"))[-3:]
    assert [list(fact.children.skip_reasons) for fact in facts] == [[SkipReason.TOO_LATE]] * 3
    await house.follower(master, 103, settings=replace(COPY, max_age_ms=2_500))
    (batch,) = await sent(house)
    assert (batch.account_ids.tolist(), batch.volumes_e8.tolist()) == ([103], [E8 // 10])
    *_, fact = await house.facts("allocations")
    explanation = await explain_allocation(house.engine, 1, fact.allocation.allocation_id, first=0, limit=10)
    assert explanation.agrees


async def test_later_closes_find_its_children(house):
    master = await opened(house)
    await house.follower(master, 102, settings=COPY)
    buying, selling = await sent(house)
    await house.fill(buying, first_position=6_000)
    await house.deal(64, -0.5, position=900, entry=OUT)
    (batch,) = await house.dispatch()
    assert batch.position_tickets.tolist() == [5_000, 6_000]
    assert batch.volumes_e8.tolist() == [-E8 // 2, -E8 // 2]
    await house.deal(64, 0.4, position=901, entry=OUT)
    await house.dispatch()
    await house.fill(selling, first_position=6_001)
    (late,) = await house.dispatch()
    assert late.position_tickets.tolist() == [6_001], "filled after the master had closed"


async def test_a_copied_child_that_is_refused_is_opened_again(house):
    master = await opened(house)
    await house.follower(master, 102, settings=COPY)
    buying, _ = await sent(house)
    await house.tell_refused(buying, "REQUOTE")
    (again,) = await house.reopen()
    assert (again.item_ids.tolist(), again.account_ids.tolist()) == (buying.item_ids.tolist(), [102])


async def test_filters_and_halts_apply_and_are_told(house):
    master = await opened(house)
    await house.follower(master, 102, settings=SELLS)
    (batch,) = await sent(house)
    assert batch.volumes_e8.tolist() == [-2 * E8 // 5]
    *_, filtered, _ = await house.facts("allocations")
    assert list(filtered.children.skip_reasons) == [SkipReason.FILTERED]
    key = RequestKey(1, "test", "00000000-0000-4000-8000-000000000001", b"hash")
    await halt_master(house.engine, house.orders, HaltMaster(key, master.master_id, "risk"), now=house.clock.now())
    await house.follower(master, 103, settings=COPY)
    assert await sent(house) == []
    *_, last = await house.facts("allocations")
    assert list(last.children.skip_reasons) == [SkipReason.PAUSED_BY_RISK]


async def test_a_symbol_that_is_gone_is_not_copied(house):
    master = await opened(house)
    del house.symbols.grids["EURUSD"]
    await house.follower(master, 102, settings=COPY)
    assert await sent(house) == []
    *_, last = await house.facts("allocations")
    assert list(last.children.skip_reasons) == [SkipReason.SYMBOL_UNMAPPED]


async def test_nothing_is_copied_without_the_flag_nor_what_is_closed(house):
    master = await opened(house)
    await house.follower(master, 102)
    assert await sent(house) == []
    await house.deal(64, -1.0, position=900, entry=OUT)
    await house.deal(64, 0.4, position=901, entry=OUT)
    await house.dispatch()
    await house.follower(master, 103, settings=COPY)
    assert await sent(house) == []
    assert {child.account_id for child in await house.children()} == {101}


async def test_carried_rounding_of_the_others_stays(house):
    master = await house.master(rounding=RoundingPolicy.CARRY)
    await house.follower(master, 101, ratio_e8=E8 // 2)
    await house.deal(64, 0.01, position=900)
    (batch,) = await house.dispatch()
    assert batch.volumes_e8.tolist() == [E8 // 100], "half a step too much, which is owed back"
    await house.follower(master, 102, settings=COPY)
    assert [batch.account_ids.tolist() for batch in await sent(house)] == [[102]]
    await house.deal(64, 0.01, position=901)
    (batch,) = await house.dispatch()
    assert batch.account_ids.tolist() == [102]


async def test_one_position_that_was_added_to_is_copied_as_one(house):
    master = await opened(house)
    await house.deal(64, 0.5, position=900)
    await house.dispatch()
    await house.follower(master, 102, settings=COPY)
    batches = await sent(house)
    assert [batch.volumes_e8.tolist() for batch in batches] == [[3 * E8 // 2], [-2 * E8 // 5]]
    await house.fill(batches[0], first_position=6_000)
    assert ChildTradeState.FILLED in {child.state for child in await house.children()}


async def test_what_is_divided_has_nothing_left_to_copy(house):
    master = await opened(house, AllocationMethod.DIVIDE_BY_EQUITY)
    with pytest.raises(CopyOpenPositionsNotAllowed):
        await house.follower(master, 102, settings=COPY)
    await house.follower(master, 102)
