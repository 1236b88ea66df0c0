"""The three ways to leave a master."""

from __future__ import annotations

import pytest

from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.copy_settings import CopySettings, LeavePolicy
from apportion.allocation.domain.subscriptions import SubscriptionState
from apportion.allocation.errors import SubscriptionEnded
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.get_subscription import get_subscription
from apportion.allocation.storage.allocations import list_undispatched
from apportion.api.platform_groups.v1 import events_pb2
from apportion.money import E8
from apportion.storage import transaction

OUT = events_pb2.DEAL_ENTRY_OUT


async def opened(house, policy=LeavePolicy.CLOSE):
    """A master with 1 lot open and two followers who copied it."""
    master = await house.master()
    leaver = await house.follower(master, 101, settings=CopySettings(leave_policy=policy))
    await house.follower(master, 102)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.fill(batch, first_position=5_000)
    return leaver


async def sent_since(house):
    """Decisions that the dispatcher finds in the database, sent."""
    before = len(house.orders.batches)
    async with transaction(house.engine) as tx:
        house.clock.advance(10)
        waiting = await list_undispatched(tx, before=house.clock.now(), limit=100)
    for _, allocation_id in waiting:
        await house.dispatch_stored(allocation_id)
    return house.orders.batches[before:]


async def state_of(house, subscription):
    return (await get_subscription(house.engine, 1, subscription.subscription_id)).state


async def test_close_closes_the_leavers_children_only(house):
    leaver = await opened(house)
    ended = await house.end(leaver)
    assert (ended.state, ended.active, ended.end_time) == (SubscriptionState.ENDED, False, house.clock.now())
    (batch,) = await sent_since(house)
    assert (batch.account_ids.tolist(), batch.volumes_e8.tolist()) == ([101], [-E8])
    await house.deal(101, -1.0, position=5_000, entry=OUT, ordered=True)
    leavers, others = await house.children()
    assert (leavers.state, others.open_volume_e8) == (ChildTradeState.CLOSED, E8)
    with pytest.raises(SubscriptionEnded):
        await house.end(leaver)


async def test_close_reaches_a_child_that_fills_later(house):
    master = await house.master()
    leaver = await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.end(leaver, LeavePolicy.CLOSE)
    assert await sent_since(house) == []
    await house.fill(batch, first_position=5_000)
    (close,) = await house.dispatch()
    assert (close.account_ids.tolist(), close.volumes_e8.tolist()) == ([101], [-E8])


async def test_close_with_master_follows_to_the_end(house):
    leaver = await opened(house, LeavePolicy.CLOSE_WITH_MASTER)
    assert (await house.end(leaver)).state is SubscriptionState.LEAVING
    await house.deal(64, 1.0, position=901)
    (batch,) = await house.dispatch()
    assert batch.account_ids.tolist() == [102]
    await house.deal(64, -1.0, position=900, entry=OUT)
    (batch,) = await house.dispatch()
    assert batch.account_ids.tolist() == [101, 102]
    await follow_up_positions(house.engine, now=house.clock.now())
    assert await state_of(house, leaver) is SubscriptionState.LEAVING
    await house.project()
    await house.deal(101, -1.0, position=5_000, entry=OUT, ordered=True)
    await follow_up_positions(house.engine, now=house.clock.now())
    assert await state_of(house, leaver) is SubscriptionState.ENDED


@pytest.mark.parametrize("policy", [LeavePolicy.CLOSE, LeavePolicy.DETACH])
async def test_who_is_leaving_with_his_master_may_go_at_once_after_all(house, policy):
    leaver = await opened(house, LeavePolicy.CLOSE_WITH_MASTER)
    assert (await house.end(leaver)).state is SubscriptionState.LEAVING
    with pytest.raises(SubscriptionEnded):
        await house.end(leaver)
    left_time = house.clock.now()
    house.clock.advance(60)
    ended = await house.end(leaver, policy)
    assert (ended.state, ended.end_time) == (SubscriptionState.ENDED, left_time), "since when nothing more is his"
    closes = [batch.account_ids.tolist() for batch in await sent_since(house)]
    assert closes == ([[101]] if policy is LeavePolicy.CLOSE else [])
    await house.deal(64, 0.5, position=901)
    (batch,) = await house.dispatch()
    assert batch.account_ids.tolist() == [102], "counted once"


async def test_close_with_master_ends_at_once_without_anything_open(house):
    master = await house.master()
    leaver = await house.follower(master, 101)
    assert (await house.end(leaver, LeavePolicy.CLOSE_WITH_MASTER)).state is SubscriptionState.ENDED


async def test_detached_children_follow_nobody_and_are_nobodys_business(house):
    leaver = await opened(house)
    assert (await house.end(leaver, LeavePolicy.DETACH)).state is SubscriptionState.ENDED
    assert await sent_since(house) == []
    await house.deal(64, -1.0, position=900, entry=OUT)
    (batch,) = await house.dispatch()
    assert batch.account_ids.tolist() == [102]
    told = len(await house.facts("children"))
    await house.deal(101, -0.4, position=5_000, entry=OUT)
    detached, _ = await house.children()
    assert (detached.state, detached.open_volume_e8) == (ChildTradeState.DETACHED, 60_000_000)
    assert len(await house.facts("children")) == told
    assert await follow_up_positions(house.engine, now=house.clock.now()) == []


async def test_detach_does_not_wait_for_what_has_not_filled(house):
    master = await house.master()
    leaver = await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.end(leaver, LeavePolicy.DETACH)
    await house.fill(batch, first_position=5_000)
    (close,) = await house.dispatch()
    assert (close.account_ids.tolist(), close.volumes_e8.tolist()) == ([101], [-E8])
