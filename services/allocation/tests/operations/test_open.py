"""A master opens: decided, stored, told, sent, filled."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import timedelta

import pytest
from sqlalchemy import text

from apportion.allocation.domain.allocations import DispatchState
from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.subscriptions import SubscriptionChange
from apportion.allocation.operations.dispatch_allocation import dispatch_allocation
from apportion.allocation.operations.get_allocation import get_allocation
from apportion.allocation.operations.halt_master import HaltMaster, halt_master
from apportion.allocation.operations.project_children import project_children
from apportion.allocation.operations.resume_master import ResumeMaster, resume_master
from apportion.allocation.operations.update_subscription import UpdateSubscription, update_subscription
from apportion.allocation.storage.masters import load_master
from apportion.api.platform_groups.v1 import events_pb2
from apportion.errors import KillSwitchOn, UpstreamUnavailable
from apportion.events import list_set_aside
from apportion.money import E8
from apportion.storage import RequestKey, transaction

COPY = AllocationMethod.COPY_BY_EQUITY
DIVIDE = AllocationMethod.DIVIDE_BY_EQUITY


def key(number: int = 1) -> RequestKey:
    return RequestKey(1, "test", f"00000000-0000-4000-8000-{number:012d}", b"hash")


async def decided(house):
    (allocation,) = house.waiting
    header, page = await get_allocation(house.engine, 1, allocation.allocation_id, first=0, limit=5_000)
    return header, page


async def test_each_follower_gets_the_formulas_volume(house):
    master = await house.master(COPY, equity_minor=100_000)
    await house.follower(master, 101, equity_minor=200_000, ratio_e8=2 * E8)
    await house.follower(master, 102, equity_minor=200_000)
    await house.follower(master, 103, equity_minor=50_000)
    await house.deal(64, 0.5, position=900)
    header, page = await decided(house)
    assert (page.volumes_e8 / E8).tolist() == [2.0, 1.0, 0.25]
    assert (header.child_count, header.skipped_count, header.volume_sum_e8) == (3, 0, round(3.25 * E8))
    (fact,) = await house.facts("allocations")
    assert list(fact.children.volumes_e8) == [2 * E8, E8, E8 // 4]
    assert fact.allocation.server_time_ms == 1_700_000_000_000


async def test_a_sell_is_followed_by_sells(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, -0.5, position=900)
    (batch,) = await house.dispatch()
    assert batch.volumes_e8.tolist() == [-E8 // 2]


async def test_dividing_hands_out_exactly_the_masters_volume(house):
    master = await house.master(DIVIDE)
    for number, equity_minor in enumerate([1, 1, 1]):
        await house.follower(master, 101 + number, equity_minor=equity_minor)
    await house.deal(64, 1.0, position=900)
    header, page = await decided(house)
    assert page.volumes_e8.sum() == E8
    assert header.volume_sum_e8 == E8


async def test_orders_are_sent_once_filled_and_shown(house):
    master = await house.master()
    first, second = await house.follower(master, 101), await house.follower(master, 102)
    await house.deal(64, 1.0, position=900)
    await project_children(house.engine, now=house.clock.now())
    assert [child.state for child in await house.children()] == [ChildTradeState.PENDING] * 2
    (batch,) = await house.dispatch()
    assert batch.account_ids.tolist() == [101, 102]
    assert batch.not_after_time == house.clock.now() + timedelta(seconds=5)
    assert batch.source_id.startswith("allocation/")
    assert [child.state for child in await house.children()] == [ChildTradeState.SENT] * 2
    await house.fill(batch, first_position=5_000)
    children = await house.children()
    assert [child.state for child in children] == [ChildTradeState.FILLED] * 2
    assert [child.position_ticket for child in children] == [5_000, 5_001]
    assert [child.subscription_id for child in children] == [first.subscription_id, second.subscription_id]
    assert [child.open_volume_e8 for child in children] == [E8, E8]


async def test_results_that_come_before_the_projector_find_their_rows(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.fill(batch, first_position=5_000)
    assert [child.state for child in await house.children()] == [ChildTradeState.FILLED]
    assert await project_children(house.engine, now=house.clock.now()) == 0


async def test_repeated_results_change_nothing(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.fill(batch, first_position=5_000)
    before = await house.children()
    await house.fill(batch, first_position=6_000)
    assert await house.children() == before


async def test_partial_fill_and_rejection(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.follower(master, 102)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    items = batch.item_ids.tolist()
    await house.fill(batch, first_position=5_000, lots={items[0]: 0.4, items[1]: 0})
    partial, rejected = await house.children()
    assert (partial.state, partial.open_volume_e8) == (ChildTradeState.PARTIALLY_FILLED, round(0.4 * E8))
    assert (rejected.state, rejected.reason, rejected.open_volume_e8) == (ChildTradeState.REJECTED, "NO_MONEY", 0)
    assert await house.dispatch() == []


async def test_the_same_deal_again_is_a_replay(house):
    master = await house.master()
    await house.follower(master, 101)
    ticket = await house.deal(64, 1.0, position=900)
    await house.deal(64, 1.0, position=900, ticket=ticket)
    assert len(house.waiting) == 1
    assert len(await house.facts("allocations")) == 1
    assert await list_set_aside(house.engine) == []


async def test_deals_of_other_accounts_and_labels_are_nobodys(house):
    await house.master()
    await house.deal(65, 1.0, position=900)
    assert house.waiting == []


async def test_a_decision_waits_for_account_states(house):
    """The first deal after a start may be read before the accounts are."""
    master = await house.master(COPY)
    await house.follower(master, 101)
    house.states.observed_time = house.clock.now() - timedelta(seconds=11)
    read_time = house.clock.now()
    for _ in range(2):
        with pytest.raises(UpstreamUnavailable):
            await house.deal(64, 1.0, position=900, ticket=1, observed_time=read_time)
    assert house.states.asked_count == 2
    assert house.waiting == []
    house.states.observed_time = None
    await house.deal(64, 1.0, position=900, ticket=1, observed_time=read_time)
    _, page = await decided(house)
    assert page.reasons.tolist() == [SkipReason.NONE]
    assert house.states.asked_count == 2
    house.states.observed_time = house.clock.now() - timedelta(seconds=11)
    await house.deal(64, -1.0, position=900, entry=events_pb2.DEAL_ENTRY_OUT)
    assert house.states.asked_count == 2, "a close waits for nobody's states"


async def test_states_that_stay_stale_keep_copiers_out_but_not_multipliers(house):
    master = await house.master(COPY)
    await house.follower(master, 101)
    other = await house.master(account_id=65)
    await house.follower(other, 102)
    house.states.observed_time = house.clock.now() - timedelta(seconds=11)
    await house.deal(64, 1.0, position=900, observed_time=house.clock.now() - timedelta(seconds=5))
    _, page = await decided(house)
    assert page.reasons.tolist() == [SkipReason.STALE_STATE]
    house.waiting.clear()
    await house.deal(65, 1.0, position=901)
    _, page = await decided(house)
    assert page.volumes_e8.tolist() == [E8]


async def test_an_inactive_subscription_is_left_out_from_the_next_open_on(house):
    master = await house.master()
    subscription = await house.follower(master, 101)
    await house.follower(master, 102)
    await house.deal(64, 1.0, position=900)
    house.waiting.clear()
    change = UpdateSubscription(key(), subscription.subscription_id, SubscriptionChange(active=False))
    await update_subscription(house.engine, change, now=house.clock.now())
    await house.deal(64, 1.0, position=901)
    header, page = await decided(house)
    assert page.reasons.tolist() == [SkipReason.INACTIVE, SkipReason.NONE]
    assert (header.child_count, header.skipped_count) == (1, 1)


async def test_one_subscription_set_serves_all_decisions_of_its_version(house):
    master = await house.master()
    await house.follower(master, 101)
    for position in range(900, 904):
        await house.deal(64, 1.0, position=position)
    async with transaction(house.engine) as tx:
        assert (await tx.execute(text("SELECT count(*) FROM subscription_sets"))).scalar_one() == 1


async def test_a_deal_observed_long_ago_is_not_followed(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900, observed_time=house.clock.now() - timedelta(seconds=11))
    header, page = await decided(house)
    assert page.reasons.tolist() == [SkipReason.TOO_LATE]
    assert header.dispatch_state is DispatchState.DONE
    assert await house.dispatch() == []


async def test_a_symbol_the_server_does_not_have(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900, symbol="XAUUSD")
    _, page = await decided(house)
    assert page.reasons.tolist() == [SkipReason.SYMBOL_UNMAPPED]


async def test_a_master_without_equity_is_stored_with_everybody_left_out(house):
    master = await house.master(COPY, equity_minor=0)
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    _, page = await decided(house)
    assert page.reasons.tolist() == [SkipReason.NO_EQUITY]


class TestHalt:
    async def halt(self, house, master, number=1):
        await halt_master(
            house.engine, house.orders, HaltMaster(key(number), master.master_id, "risk"), now=house.clock.now()
        )

    async def test_opens_of_a_halted_master_are_stored_with_the_reason(self, house):
        master = await house.master()
        await house.follower(master, 101)
        await self.halt(house, master)
        await house.deal(64, 1.0, position=900)
        _, page = await decided(house)
        assert page.reasons.tolist() == [SkipReason.PAUSED_BY_RISK]
        assert await house.dispatch() == []

    async def test_an_open_decided_before_the_halt_is_not_sent(self, house):
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900)
        await self.halt(house, master)
        assert await house.dispatch() == []
        (child,) = await house.children()
        assert (child.state, child.reason) == (ChildTradeState.EXPIRED, "PAUSED_BY_RISK")

    async def test_platform_groups_hears_of_a_halt_and_of_what_each_decision_knew(self, house):
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900)
        (before,) = await house.dispatch()
        house.orders.refusals.append(UpstreamUnavailable())
        with pytest.raises(UpstreamUnavailable):
            await self.halt(house, master)
        assert house.orders.voided == []
        await self.halt(house, master)
        assert house.orders.voided == [(master.account_id, before.halt_epoch + 1)]
        await resume_master(house.engine, ResumeMaster(key(2), master.master_id, "risk"), now=house.clock.now())
        await house.deal(64, 1.0, position=901)
        (after,) = await house.dispatch()
        assert after.halt_epoch == before.halt_epoch + 1

    async def test_a_halt_that_is_over_voids_older_opens_too(self, house):
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900)
        await self.halt(house, master)
        release = ResumeMaster(key(2), master.master_id, "risk")
        await resume_master(house.engine, release, now=house.clock.now())
        assert await house.dispatch() == []
        await house.deal(64, 1.0, position=901)
        assert len(await house.dispatch()) == 1

    async def test_a_halt_in_the_middle_leaves_each_open_sent_or_void_never_both(self, house):
        master = await house.master()
        await house.follower(master, 101)
        for position in range(900, 912):
            await house.deal(64, 1.0, position=position)
        ids = [allocation.allocation_id for allocation in house.waiting]
        sending = [
            dispatch_allocation(
                house.engine, house.orders, 1, number, retries=house.desk.limits.retries, clock=house.clock
            )
            for number in ids
        ]
        await asyncio.gather(*sending[:6], self.halt(house, master), *sending[6:])
        sent = {batch.item_ids.tolist()[0] >> 20 for batch in house.orders.batches}
        void = {child.allocation_id for child in await house.children() if child.state is ChildTradeState.EXPIRED}
        assert sent | void == set(ids)
        assert not sent & void

    async def test_closes_of_a_halted_master_go_on(self, house):
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900)
        (batch,) = await house.dispatch()
        await house.fill(batch, first_position=5_000)
        await self.halt(house, master)
        await house.deal(64, -1.0, position=900, entry=2)
        (batch,) = await house.dispatch()
        assert (batch.position_tickets.tolist(), batch.volumes_e8.tolist()) == ([5_000], [-E8])


class TestDispatch:
    async def test_an_outage_delays_and_the_repeat_has_the_same_ids(self, house):
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900)
        (allocation,) = house.waiting
        house.orders.refusals = [UpstreamUnavailable(service="platform-groups")]
        with pytest.raises(UpstreamUnavailable):
            await house.dispatch()
        for _ in range(2):
            await dispatch_allocation(
                house.engine,
                house.orders,
                1,
                allocation.allocation_id,
                retries=house.desk.limits.retries,
                clock=house.clock,
            )
        (batch,) = house.orders.batches
        assert batch.item_ids.tolist() == [allocation.allocation_id << 20]

    async def test_after_its_time_an_open_is_given_up(self, house):
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900)
        house.clock.advance(5.1)
        assert await house.dispatch() == []
        (child,) = await house.children()
        assert (child.state, child.reason) == (ChildTradeState.EXPIRED, "TOO_LATE")

    async def test_a_refusal_for_good_is_the_childrens_reason(self, house):
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900)
        house.orders.refusals = [KillSwitchOn()]
        assert await house.dispatch() == []
        (child,) = await house.children()
        assert (child.state, child.reason) == (ChildTradeState.EXPIRED, "KILL_SWITCH_ON")

    async def test_big_allocations_go_in_chunks_and_a_halt_stops_the_rest(self, house):
        master = await house.master()
        await many_followers(house, master, 5_001)
        await house.deal(64, 1.0, position=900)
        submit = house.orders.submit

        async def submit_then_halt(batch):
            await submit(batch)
            await TestHalt().halt(house, master)

        house.orders.submit = submit_then_halt
        (batch,) = await house.dispatch()
        assert batch.item_ids.size == 5_000
        (last,) = [child for child in await house.children() if child.account_id == 15_000]
        assert (last.state, last.reason) == (ChildTradeState.EXPIRED, "PAUSED_BY_RISK")
        await house.fill(batch, first_position=50_000)
        filled = await house.children(only_open=True)
        assert len(filled) == 1_000  # the first page

    async def test_chunks_have_ids_of_their_own(self, house):
        master = await house.master()
        await many_followers(house, master, 5_001)
        await house.deal(64, 1.0, position=900)
        first, second = await house.dispatch()
        assert (first.item_ids.size, second.item_ids.size) == (5_000, 1)
        assert first.request_id != second.request_id

    async def test_further_chunks_wait_for_no_lock(self, house):
        master = await house.master()
        await many_followers(house, master, 5_001)
        await house.deal(64, 1.0, position=900)
        submit, held = house.orders.submit, AsyncExitStack()

        async def submit_and_lock(batch):
            await submit(batch)
            tx = await held.enter_async_context(transaction(house.engine))
            await load_master(tx, 1, master.master_id, lock="update")
            house.orders.submit = submit_and_release

        async def submit_and_release(batch):
            await submit(batch)
            await held.aclose()

        house.orders.submit = submit_and_lock
        first, second = await house.dispatch()
        assert (first.item_ids.size, second.item_ids.size) == (5_000, 1)
        (fact,) = await house.facts("allocations")
        assert len(fact.children.volumes_e8) == 0
        assert fact.allocation.child_count == 5_001


async def many_followers(house, master, count):
    """Rows straight into the table: one statement instead of thousands of commands."""
    async with transaction(house.engine) as tx:
        await tx.execute(
            text(
                "INSERT INTO subscriptions (label, master_id, account_id, account_login, wallet_account_id, active,"
                " ratio_e8, lot_e8, percent_e8, version, create_time)"
                " SELECT 1, :master_id, 10000 + n, 20000 + n, 1, true, 100000000, 0, 0, 1, now()"
                " FROM generate_series(0, :last) AS n"
            ),
            {"master_id": master.master_id, "last": count - 1},
        )
