"""Children whose orders were refused for a passing reason, or missed, are opened again while their trade is young."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.copy_settings import CopySettings, LeavePolicy
from apportion.allocation.domain.subscriptions import SubscriptionState
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.get_allocation import get_allocation
from apportion.allocation.operations.get_subscription import get_subscription
from apportion.allocation.operations.halt_master import HaltMaster, halt_master
from apportion.errors import UpstreamUnavailable
from apportion.money import E8
from apportion.storage import RequestKey


async def opened(house, *logins: int):
    """A master with followers has bought 1.00; the orders are sent. Returns (master, batch)."""
    house.retry(missed_seconds=60)
    master = await house.master()
    for login in logins:
        await house.follower(master, login)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    return master, batch


async def test_a_missed_child_gets_a_new_order_and_stays_the_same_child(house):
    _, first = await opened(house, 101, 102)
    await house.tell_missed(first)
    assert await house.reopen(after_seconds=0.4) == [], "not before a pause"
    assert [child.state for child in await house.children()] == [ChildTradeState.PENDING] * 2
    (again,) = await house.reopen(after_seconds=0.1)
    assert again.item_ids.tolist() == first.item_ids.tolist()
    assert again.source_id != first.source_id
    assert again.request_id != first.request_id
    assert again.volumes_e8.tolist() == first.volumes_e8.tolist()
    await house.fill(again, first_position=5_000)
    children = await house.children()
    assert [(child.state, child.open_volume_e8) for child in children] == [(ChildTradeState.FILLED, E8)] * 2
    decisions = await house.facts("allocations")
    assert [fact.allocation.wave for fact in decisions] == [0, 1]


async def test_only_the_missed_ones_are_opened_again(house):
    _, batch = await opened(house, 101, 102, 103)
    await house.tell_some(batch, batch.item_ids.tolist()[:1], first_position=5_000)
    rest = house.without_first(batch)
    await house.tell_missed(rest)
    (again,) = await house.reopen()
    assert again.item_ids.tolist() == batch.item_ids.tolist()[1:]


async def test_the_new_order_asks_for_what_is_left_after_a_partial_close(house):
    _, batch = await opened(house, 101)
    await house.deal(64, -0.25, position=900, entry=2)
    await house.dispatch()
    await house.tell_missed(batch)
    (again,) = await house.reopen()
    assert again.volumes_e8.tolist() == [3 * E8 // 4]
    await house.fill(again, first_position=5_000)
    (child,) = await house.children()
    assert (child.open_volume_e8, child.volume_e8) == (3 * E8 // 4, 3 * E8 // 4)
    assert house.waiting == [], "nothing is too much"


async def test_nothing_is_opened_again_after_the_master_closed(house):
    _, batch = await opened(house, 101)
    await house.deal(64, -1.0, position=900, entry=2)
    await house.dispatch()
    await house.tell_missed(batch)
    assert await house.reopen() == []
    (child,) = await house.children()
    assert child.state is ChildTradeState.EXPIRED


async def test_nothing_is_opened_again_when_the_trade_is_too_old(house):
    _, batch = await opened(house, 101)
    house.clock.advance(61)
    await house.tell_missed(batch)
    assert await house.reopen() == []
    (child,) = await house.children()
    assert child.state is ChildTradeState.EXPIRED


async def test_nothing_is_opened_again_after_a_halt(house):
    master, batch = await opened(house, 101)
    key = RequestKey(1, "test", "00000000-0000-4000-8000-000000000001", b"hash")
    await halt_master(house.engine, house.orders, HaltMaster(key, master.master_id, "risk"), now=house.clock.now())
    await house.tell_missed(batch)
    assert await house.reopen() == []


async def test_an_open_that_could_not_be_sent_in_time_is_decided_anew(house):
    house.retry(missed_seconds=60)
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (first,) = house.waiting
    house.clock.advance(5.1)
    assert await house.dispatch() == []
    (again,) = await house.reopen()
    assert again.item_ids.tolist() == [first.allocation_id << 20]
    await house.fill(again, first_position=5_000)
    (child,) = await house.children()
    assert (child.state, child.allocation_id) == (ChildTradeState.FILLED, first.allocation_id)


async def test_an_open_whose_answer_was_lost_is_handed_over_again_and_not_opened_anew(house):
    house.retry(missed_seconds=60)
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (first,) = house.waiting
    house.orders.refusals = [UpstreamUnavailable(service="platform-groups")]
    with pytest.raises(UpstreamUnavailable):
        await house.dispatch()
    house.clock.advance(5.1)
    await house.dispatch_stored(first.allocation_id)
    (batch,) = house.orders.batches
    assert batch.source_id == f"allocation/{first.allocation_id}", "platform-groups may know it and then has it once"


async def test_a_follow_up_that_is_missed_too_is_followed_up(house):
    _, first = await opened(house, 101)
    await house.tell_missed(first)
    (second,) = await house.reopen()
    await house.tell_missed(second)
    (third,) = await house.reopen()
    assert len({first.source_id, second.source_id, third.source_id}) == 3


async def test_a_follow_up_explains_itself(house):
    _, first = await opened(house, 101)
    await house.tell_missed(first)
    (again,) = await house.reopen()
    allocation_id = int(again.source_id.removeprefix("allocation/"))
    explanation = await explain_allocation(house.engine, 1, allocation_id, first=0, limit=10)
    assert explanation.agrees
    assert "not executed" in explanation.children[0].text
    _, page = await get_allocation(house.engine, 1, allocation_id, first=0, limit=10)
    assert np.array_equal(page.volumes_e8, [E8])


@pytest.mark.parametrize("reason", ["REQUOTE", "OFF_QUOTES", "PRICE_CHANGED", "CONTEXT_BUSY", "NO_PRICE"])
async def test_a_passing_refusal_is_tried_again_with_the_same_price_to_follow(house, reason):
    _, first = await opened(house, 101)
    await house.tell_refused(first, reason)
    (child,) = await house.children()
    assert (child.state, child.reason) == (ChildTradeState.PENDING, reason)
    (again,) = await house.reopen()
    assert again.reference_price_e8 == first.reference_price_e8
    await house.fill(again, first_position=5_000)
    (child,) = await house.children()
    assert (child.state, child.reason, child.open_volume_e8) == (ChildTradeState.FILLED, "", E8)


@pytest.mark.parametrize(
    "reason",
    ["NO_MONEY", "SLIPPAGE", "KILL_SWITCH_ON", "PAUSED_BY_RISK", "MARKET_CLOSED", "REJECTED_BY_SERVER", "TIMEOUT"],
)
async def test_a_refusal_for_good_is_not(house, reason):
    _, first = await opened(house, 101)
    await house.tell_refused(first, reason)
    (child,) = await house.children()
    assert (child.state, child.reason) == (ChildTradeState.REJECTED, reason)
    assert await house.reopen() == []


async def test_there_are_so_many_new_orders_and_no_more(house):
    _, batch = await opened(house, 101)
    for _ in range(3):
        await house.tell_refused(batch, "REQUOTE")
        (batch,) = await house.reopen()
    await house.tell_refused(batch, "REQUOTE")
    (child,) = await house.children()
    assert (child.state, child.reason) == (ChildTradeState.REJECTED, "REQUOTE")
    assert await house.reopen() == []


async def test_a_refusal_is_not_tried_again_when_its_time_is_over(house):
    _, batch = await opened(house, 101)
    house.clock.advance(4.4)
    await house.tell_refused(batch, "REQUOTE")
    assert await house.reopen(after_seconds=0.7) == []
    (child,) = await house.children()
    assert (child.state, child.reason) == (ChildTradeState.REJECTED, "REQUOTE")


async def test_a_new_order_is_not_sent_after_the_limit(house):
    _, batch = await opened(house, 101)
    decide_time = house.clock.now()
    house.clock.advance(3)
    await house.tell_refused(batch, "REQUOTE")
    (again,) = await house.reopen()
    assert again.not_after_time == decide_time + timedelta(seconds=5)


async def test_the_age_limit_of_a_subscription_ends_it_sooner(house):
    master = await house.master()
    await house.follower(master, 101, settings=CopySettings(max_age_ms=400))
    await house.follower(master, 102)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.tell_refused(batch, "REQUOTE")
    (again,) = await house.reopen()
    assert again.account_ids.tolist() == [102]
    assert [child.state for child in await house.children()] == [ChildTradeState.REJECTED, ChildTradeState.SENT]


async def test_the_age_of_the_trade_counts_from_its_deal(house):
    """Read 900 ms after it happened, and opened again 500 ms later: older than the second that is allowed."""
    master = await house.master()
    await house.follower(master, 101, settings=CopySettings(max_age_ms=1_000))
    await house.follower(master, 102, settings=CopySettings(max_age_ms=1_400))
    await house.deal(64, 1.0, position=900, age_ms=900)
    (batch,) = await house.dispatch()
    assert batch.account_ids.tolist() == [101, 102]
    await house.tell_refused(batch, "REQUOTE")
    (again,) = await house.reopen()
    assert again.account_ids.tolist() == [102]


async def test_a_close_or_halt_while_it_waits_ends_it(house):
    master, batch = await opened(house, 101)
    await house.tell_refused(batch, "REQUOTE")
    await house.deal(64, -1.0, position=900, entry=2)
    assert await house.reopen() == []
    await house.deal(64, 1.0, position=901)
    (batch,) = await house.dispatch()
    await house.tell_refused(batch, "OFF_QUOTES")
    key = RequestKey(1, "test", "00000000-0000-4000-8000-000000000001", b"hash")
    await halt_master(house.engine, house.orders, HaltMaster(key, master.master_id, "risk"), now=house.clock.now())
    assert await house.reopen() == []
    assert [(child.state, child.reason) for child in await house.children()] == [
        (ChildTradeState.REJECTED, "REQUOTE"),
        (ChildTradeState.REJECTED, "OFF_QUOTES"),
    ]


@pytest.mark.parametrize("policy", LeavePolicy)
async def test_who_leaves_meanwhile_gets_no_new_order(house, policy):
    master = await house.master()
    leaver = await house.follower(master, 101)
    await house.follower(master, 102)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.tell_refused(batch, "REQUOTE")
    await house.end(leaver, policy)
    (again,) = await house.reopen()
    assert again.account_ids.tolist() == [102]
    first, _ = await house.children()
    assert (first.state, first.reason) == (ChildTradeState.REJECTED, "REQUOTE")
    await follow_up_positions(house.engine, now=house.clock.now())
    stored = await get_subscription(house.engine, 1, leaver.subscription_id)
    assert stored.state is SubscriptionState.ENDED


async def test_an_old_refusal_told_again_makes_no_second_new_order(house):
    _, first = await opened(house, 101)
    await house.tell_refused(first, "REQUOTE")
    await house.tell_refused(first, "REQUOTE")
    (again,) = await house.reopen()
    await house.tell_refused(first, "REQUOTE")
    assert await house.reopen() == []
    (child,) = await house.children()
    assert child.state is ChildTradeState.SENT
    await house.fill(again, first_position=5_000)
    (child,) = await house.children()
    assert (child.state, child.open_volume_e8) == (ChildTradeState.FILLED, E8)


async def test_a_new_order_carries_the_stops_of_now(house):
    _, first = await opened(house, 101)
    await house.move_stops(64, 900, 1.1, 0)
    await house.tell_refused(first, "REQUOTE")
    (again,) = await house.reopen()
    assert again.stop_losses_e8.tolist() == [11 * E8 // 10]
    await house.fill(again, first_position=5_000)
    assert house.waiting == []
