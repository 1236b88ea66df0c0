"""A master closes, investors close, fills come late: what is open follows what should be open."""

from __future__ import annotations

import pytest

from apportion.allocation.domain.allocations import AllocationFilter
from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.domain.subscriptions import SubscriptionChange
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.list_allocations import list_allocations
from apportion.allocation.operations.update_subscription import UpdateSubscription, update_subscription
from apportion.money import E8, INT64_MAX
from apportion.storage import RequestKey

OUT, IN_OUT, OUT_BY = 2, 3, 4
DIVIDE = AllocationMethod.DIVIDE_BY_EQUITY


async def opened(house, *, method=AllocationMethod.RATIO_MULTIPLIER, followers=(101, 102), lots=1.0):
    """A master with a filled trade on position 900; the children have positions 5000, 5001, …"""
    master = await house.master(method)
    for account_id in followers:
        await house.follower(master, account_id)
    await house.deal(64, lots, position=900)
    (batch,) = await house.dispatch()
    await house.fill(batch, first_position=5_000)
    return master


async def server_closes(house, batch, lots=None):
    """The trading server executes a batch of close orders: deals, and (second) the orders' results."""
    for account_id, position, volume_e8 in zip(
        batch.account_ids.tolist(), batch.position_tickets.tolist(), batch.volumes_e8.tolist(), strict=True
    ):
        await house.deal(account_id, volume_e8 / E8, position=position, entry=OUT, ordered=True)
    await house.fill(batch, lots=lots)


async def open_lots(house):
    return [child.open_volume_e8 / E8 for child in await house.children()]


async def test_full_close(house):
    await opened(house)
    await house.deal(64, -1.0, position=900, entry=OUT)
    (batch,) = await house.dispatch()
    assert batch.not_after_time is None
    assert batch.position_tickets.tolist() == [5_000, 5_001]
    assert batch.volumes_e8.tolist() == [-E8, -E8]
    await server_closes(house, batch)
    assert [child.state for child in await house.children()] == [ChildTradeState.CLOSED] * 2
    assert await open_lots(house) == [0, 0]
    facts = await house.facts("children")
    assert [(list(f.closed_volumes_e8), list(f.account_ids), f.currency_code, f.symbol) for f in facts] == [
        ([E8], [101], "USD", "EURUSD"),
        ([E8], [102], "USD", "EURUSD"),
    ]
    assert await follow_up_positions(house.engine, now=house.clock.now()) == []


async def test_partial_closes_then_the_rest(house):
    await opened(house)
    await house.deal(64, -0.3, position=900, entry=OUT)
    (batch,) = await house.dispatch()
    assert batch.volumes_e8.tolist() == [-30_000_000, -30_000_000]
    await server_closes(house, batch)
    assert await open_lots(house) == [0.7, 0.7]
    await house.deal(64, -0.7, position=900, entry=OUT)
    (batch,) = await house.dispatch()
    assert batch.volumes_e8.tolist() == [-70_000_000, -70_000_000]


async def test_a_second_partial_close_before_the_first_is_done_closes_no_more_than_its_part(house):
    await opened(house, followers=(101,))
    await house.deal(64, -0.5, position=900, entry=OUT)
    await house.deal(64, -0.5, position=900, entry=OUT)
    first, second = await house.dispatch()
    assert (first.volumes_e8.tolist(), second.volumes_e8.tolist()) == ([-E8 // 2], [-E8 // 2])


async def test_a_sold_position_is_closed_by_buying(house):
    await opened(house, lots=-1.0, followers=(101,))
    await house.deal(64, 0.5, position=900, entry=OUT)
    (batch,) = await house.dispatch()
    assert batch.volumes_e8.tolist() == [E8 // 2]


async def test_dividing_closes_the_masters_volume_exactly(house):
    await opened(house, method=DIVIDE, followers=(101, 102, 103))
    await house.deal(64, -0.5, position=900, entry=OUT)
    (batch,) = await house.dispatch()
    assert batch.volumes_e8.sum() == -E8 // 2


async def test_active_is_ignored_on_closes(house):
    master = await house.master()
    subscription = await house.follower(master, 101)
    await house.deal(64, 1.0, position=901)
    (batch,) = await house.dispatch()
    await house.fill(batch, first_position=5_000)
    key = RequestKey(1, "test", "00000000-0000-4000-8000-000000000009", b"")
    change = UpdateSubscription(key, subscription.subscription_id, SubscriptionChange(active=False))
    await update_subscription(house.engine, change, now=house.clock.now())
    await house.deal(64, -1.0, position=901, entry=OUT)
    (batch,) = await house.dispatch()
    assert batch.volumes_e8.tolist() == [-E8]


async def test_what_an_investor_closed_stays_closed_and_is_told(house):
    await opened(house)
    await house.deal(101, -1.0, position=5_000, entry=OUT)
    await house.deal(102, -0.4, position=5_001, entry=OUT)
    assert await open_lots(house) == [0, 0.6]
    assert [list(f.closed_volumes_e8) for f in await house.facts("children")] == [[E8], [40_000_000]]
    await house.deal(64, -0.5, position=900, entry=OUT)
    (batch,) = await house.dispatch()
    assert (batch.account_ids.tolist(), batch.volumes_e8.tolist()) == ([102], [-30_000_000])
    assert await follow_up_positions(house.engine, now=house.clock.now()) == []


async def test_a_closing_deal_counts_once(house):
    await opened(house, followers=(101,))
    ticket = await house.deal(101, -0.4, position=5_000, entry=OUT)
    await house.deal(101, -0.4, position=5_000, entry=OUT, ticket=ticket)
    assert await open_lots(house) == [0.6]
    assert len(await house.facts("children")) == 1


async def test_a_deal_read_before_its_childs_position_is_known_is_booked_later(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.deal(101, -0.4, position=5_000, entry=OUT)
    assert await house.facts("children") == []
    await house.fill(batch, first_position=5_000)
    assert await open_lots(house) == [0.6]
    (fact,) = await house.facts("children")
    assert list(fact.closed_volumes_e8) == [40_000_000]


async def test_deals_on_strangers_accounts_are_not_kept(house):
    await opened(house, followers=(101,))
    await house.deal(999, -1.0, position=77, entry=OUT)
    assert await house.facts("children") == []


async def test_a_fill_after_the_masters_close_is_closed_at_once(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (opening,) = await house.dispatch()
    await house.deal(64, -1.0, position=900, entry=OUT)
    assert await house.dispatch() == []
    await house.fill(opening, first_position=5_000)
    (closing,) = await house.dispatch()
    assert (closing.position_tickets.tolist(), closing.volumes_e8.tolist()) == ([5_000], [-E8])
    await server_closes(house, closing)
    assert await open_lots(house) == [0]
    wanted = AllocationFilter(master_id=master.master_id)
    deals = await list_allocations(house.engine, 1, wanted, before=INT64_MAX, limit=10)
    assert [(a.kind, a.wave) for a in deals] == [(2, 0), (1, 0)]
    wanted = AllocationFilter(master_id=master.master_id, with_follow_ups=True)
    page = await list_allocations(house.engine, 1, wanted, before=INT64_MAX, limit=10)
    assert [(a.kind, a.wave) for a in page] == [(2, 1), (2, 0), (1, 0)]
    for allocation in page:
        explained = await explain_allocation(house.engine, 1, allocation.allocation_id, first=0, limit=10)
        assert explained.agrees


async def test_a_fill_after_a_partial_close_keeps_the_masters_rest(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (opening,) = await house.dispatch()
    await house.deal(64, -0.25, position=900, entry=OUT)
    await house.fill(opening, first_position=5_000)
    (closing,) = await house.dispatch()
    assert closing.volumes_e8.tolist() == [-E8 // 4]


async def test_a_late_partial_fill_is_scaled(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (opening,) = await house.dispatch()
    await house.deal(64, -0.5, position=900, entry=OUT)
    await house.fill(opening, first_position=5_000, lots={opening.item_ids.tolist()[0]: 0.4})
    (closing,) = await house.dispatch()
    assert closing.volumes_e8.tolist() == [-20_000_000]


async def test_a_late_fill_of_some_does_not_close_others_twice(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.follower(master, 102)
    await house.deal(64, 1.0, position=900)
    (opening,) = await house.dispatch()
    early, late = opening.item_ids.tolist()
    await house.tell_some(opening, [early], 5_000)
    await house.deal(64, -1.0, position=900, entry=OUT)
    (closing,) = await house.dispatch()
    assert closing.item_ids.tolist() == [early]
    await house.tell_some(opening, [late], 5_001)
    (closing,) = await house.dispatch()
    assert (closing.item_ids.tolist(), closing.position_tickets.tolist()) == ([late], [5_001])


async def test_a_refused_close_is_tried_again(house):
    await opened(house, followers=(101,))
    await house.deal(64, -1.0, position=900, entry=OUT)
    (closing,) = await house.dispatch()
    assert await follow_up_positions(house.engine, now=house.clock.now()) == []
    await house.fill(closing, lots={closing.item_ids.tolist()[0]: 0})
    house.waiting += await follow_up_positions(house.engine, now=house.clock.now())
    (again,) = await house.dispatch()
    assert again.volumes_e8.tolist() == [-E8]
    assert again.source_id != closing.source_id
    await server_closes(house, again)
    assert await open_lots(house) == [0]


async def test_the_order_of_results_and_deals_does_not_matter(house):
    await opened(house, followers=(101,))
    await house.deal(64, -0.5, position=900, entry=OUT)
    (closing,) = await house.dispatch()
    await house.fill(closing)
    assert await follow_up_positions(house.engine, now=house.clock.now()) == []
    await house.deal(101, -0.5, position=5_000, entry=OUT, ordered=True)
    assert await open_lots(house) == [0.5]
    assert await follow_up_positions(house.engine, now=house.clock.now()) == []


@pytest.mark.parametrize("entry", [OUT, OUT_BY])
async def test_a_close_of_a_position_we_never_saw_concerns_nobody(house, entry):
    await opened(house, followers=(101,))
    await house.deal(64, -1.0, position=901, entry=entry)
    assert house.waiting == []


async def test_a_reversal_closes_everything_and_opens_the_rest_the_other_way(house):
    await opened(house, followers=(101,))
    await house.deal(64, -1.5, position=900, entry=IN_OUT)
    closing, opening = await house.dispatch()
    assert (closing.volumes_e8.tolist(), closing.position_tickets.tolist()) == ([-E8], [5_000])
    assert (opening.volumes_e8.tolist(), opening.position_tickets.size) == ([-E8 // 2], 0)


async def test_two_entries_into_one_position_close_together(house):
    await opened(house, followers=(101,))
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.fill(batch, first_position=6_000)
    await house.deal(64, -1.0, position=900, entry=OUT)
    (closing,) = await house.dispatch()
    assert closing.position_tickets.tolist() == [5_000, 6_000]
    assert closing.volumes_e8.tolist() == [-E8 // 2, -E8 // 2]
