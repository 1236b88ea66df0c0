"""Children on netting accounts: many trades of masters in one position a symbol, each with books of its own."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta

import pytest
from netting_server import IN_OUT, NO_STOPS, OUT, NettingServer, open_two
from trading_server import Server

from apportion.allocation.adapters.platform_groups import PURPOSES
from apportion.allocation.domain.child_listing import ChildTradeFilter
from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.copy_settings import DEFAULT_SETTINGS, LeavePolicy
from apportion.allocation.domain.mismatch import Mismatch
from apportion.allocation.domain.positions import OrphanPolicy
from apportion.allocation.domain.subscriptions import SubscriptionChange
from apportion.allocation.errors import MarginModeUnknown, NettingPositionsOpen, NettingStops
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.list_child_trades import list_child_trades
from apportion.allocation.operations.reconcile_positions import Pass, Reconciling, reconcile_positions
from apportion.allocation.operations.update_subscription import UpdateSubscription, update_subscription
from apportion.allocation.storage.allocations import list_undispatched
from apportion.allocation.storage.child_listing import FIRST
from apportion.allocation.storage.net_deals import REDUCED
from apportion.money import E8
from apportion.storage import RequestKey, transaction
from apportion.storage.leases import LeaseKeeper

CLOSED = ChildTradeState.CLOSED


@pytest.fixture
async def server(house) -> NettingServer:
    master = await house.master()
    await house.follower(master, 101, nets=True, settings=NO_STOPS)
    return NettingServer(house, 101)


async def test_positions_of_a_hedging_master_are_summed_up_in_one(server):
    await open_two(server, 2.0, 1.0)
    assert await server.open_lots() == [2.0, 1.0]
    await server.house.deal(64, -0.5, position=900, entry=OUT)
    await server.send()
    await server.house.deal(64, -1.0, position=901, entry=OUT)
    await server.send()
    assert await server.open_lots() == [1.5, 0.0]
    await server.house.deal(64, -1.5, position=900, entry=OUT)
    await server.send()
    assert await server.open_lots() == [0.0, 0.0]
    assert [child.state for child in await server.house.children()] == [CLOSED, CLOSED]
    assert all(ticket for _, _, ticket in server.orders[2:]), "one direction: every close is bound to the position"
    closes = await server.house.facts("children")
    volumes = [(fact.child_trade_ids[0], fact.closed_volumes_e8[0]) for fact in closes]
    (first, *_), (second, *_) = server.orders[:2]
    assert volumes == [(first, E8 // 2), (second, E8), (first, 3 * E8 // 2)]


async def test_opposite_positions_close_without_a_ticket(server):
    await open_two(server)
    assert (await server.open_lots(), server.net_e8["EURUSD"]) == ([2.0, -1.0], E8)
    await server.house.deal(64, -2.0, position=900, entry=OUT)
    await server.send()
    assert server.orders[-1][1:] == (-2.0, 0), "turns the account"
    assert await server.open_lots() == [0.0, -1.0]
    await server.house.deal(64, 1.0, position=901, entry=OUT)
    await server.send()
    assert server.orders[-1][2] != 0
    assert await server.open_lots() == [0.0, 0.0]
    for fact in await server.house.facts("allocations"):
        explained = await explain_allocation(server.house.engine, 1, fact.allocation.allocation_id, first=0, limit=10)
        assert explained.agrees


async def test_a_close_that_meets_an_opposite_child_on_its_way_is_not_bound_to_the_position(server):
    await server.house.deal(64, 2.0, position=900)
    await server.send()
    await server.house.deal(64, -3.0, position=901)
    (opening,) = await server.house.dispatch()
    await server.house.deal(64, -2.0, position=900, entry=OUT)
    (closing,) = await server.house.dispatch()
    assert closing.position_tickets.tolist() == [0]
    await server.execute(opening)
    await server.execute(closing)
    assert await server.open_lots() == [0.0, -3.0]


async def test_two_masters_share_an_account(house):
    await house.follower(await house.master(), 101, nets=True, settings=NO_STOPS)
    other = await house.master(account_id=65)
    await house.follower(other, 101, nets=True, settings=replace(NO_STOPS, reverse=True))
    server = NettingServer(house, 101)
    await house.deal(64, 1.0, position=900)
    await server.send()
    await house.deal(65, 0.3, position=950)
    await server.send()
    assert await server.open_lots() == [1.0, -0.3]
    await house.deal(65, -0.3, position=950, entry=OUT)
    await server.send()
    assert await server.open_lots() == [1.0, 0.0]


async def test_a_stop_out_that_leaves_the_account_flat_ends_every_child_once(server):
    await open_two(server)
    await server.trade(-E8)
    assert await server.open_lots() == [0.0, 0.0]
    children = await server.house.children()
    assert [(child.state, child.reason) for child in children] == [(CLOSED, REDUCED)] * 2
    facts = await server.house.facts("children")
    assert sorted(volume for fact in facts for volume in fact.closed_volumes_e8) == [E8, 2 * E8]
    assert len({ticket for fact in facts for ticket in fact.deal_tickets}) == 1
    await server.house.deal(64, -2.0, position=900, entry=OUT)
    await server.house.deal(64, 1.0, position=901, entry=OUT)
    await server.send()
    assert len(server.orders) == 2, "nothing is left to close"
    assert await follow_up_positions(server.house.engine, now=server.house.clock.now()) == []


async def test_a_reduction_by_the_investor_closes_the_oldest_child_and_his_own_trades_none(server):
    await open_two(server, 2.0, 1.0)
    await server.trade(E8)  # his own
    assert [child.open_volume_e8 for child in await server.house.children()] == [2 * E8, E8]
    await server.trade(-2 * E8)  # his own back, and one lot of the oldest
    assert await server.open_lots() == [1.0, 1.0]
    await server.house.deal(64, -1.0, position=900, entry=OUT)
    await server.send()
    assert server.orders[-1][1] == -0.5, "the master's fraction of what is left"
    assert await server.open_lots() == [0.5, 1.0]


async def test_a_child_is_not_closed_again_when_a_stop_out_comes_first(server):
    await server.house.deal(64, 1.0, position=900)
    await server.send()
    await server.house.deal(64, -1.0, position=900, entry=OUT)
    (closing,) = await server.house.dispatch()
    await server.trade(-E8)
    await server.execute(closing)
    assert await server.open_lots() == [0.0]
    assert server.net_e8["EURUSD"] == 0, "the close was bound to a position that is gone"


async def test_deals_told_again_and_results_without_deals_change_nothing(server):
    await server.house.deal(64, 1.0, position=900)
    (batch,) = await server.house.dispatch()
    await server.house.fill(batch, first_position=5_000)
    assert [child.open_volume_e8 for child in await server.house.children()] == [0], "only the deal counts"
    order = (batch.source_id, int(batch.item_ids[0]), PURPOSES[batch.kind])
    for _ in range(2):
        await server.house.deal(101, 1.0, position=5_000, ticket=77, ordered=True, order=order)
        assert [child.open_volume_e8 for child in await server.house.children()] == [E8]
    for _ in range(2):
        await server.house.deal(101, -0.4, position=5_000, ticket=78, entry=OUT)
        assert [child.open_volume_e8 for child in await server.house.children()] == [6 * E8 // 10]


async def test_what_fills_after_the_master_has_closed_is_closed(server):
    await server.house.deal(64, 1.0, position=900)
    (late,) = await server.house.dispatch()
    await server.house.deal(64, -1.0, position=900, entry=OUT)
    await server.execute(late)
    assert await server.open_lots() == [1.0]
    await server.send()
    assert await server.open_lots() == [0.0], "at once"


async def test_what_fills_although_it_was_taken_for_lost_is_closed(server):
    await server.house.deal(64, 1.0, position=900)
    (lost,) = await server.house.dispatch()
    await server.house.tell_missed(lost)
    await server.execute(lost, results=False)
    await server.send()
    assert await server.open_lots() == [0.0]
    assert [child.state for child in await server.house.children()] == [CLOSED]


async def test_a_reversal_of_the_master_turns_the_account(server):
    await server.house.deal(64, 1.0, position=900)
    await server.send()
    await server.house.deal(64, -1.5, position=900, entry=IN_OUT)
    await server.send()
    assert await server.open_lots() == [0.0, -0.5]


@pytest.mark.parametrize("policy", LeavePolicy)
async def test_the_three_ways_to_leave(house, policy):
    master = await house.master()
    subscription = await house.follower(master, 101, nets=True, settings=NO_STOPS)
    server = NettingServer(house, 101)
    await open_two(server)
    await house.end(subscription, policy)
    async with transaction(house.engine) as tx:
        waiting = await list_undispatched(tx, before=house.clock.now() + timedelta(seconds=1), limit=10)
    for _, allocation_id in waiting:
        await house.dispatch_stored(allocation_id)
        await server.execute(house.orders.batches[-1])
    left = {LeavePolicy.CLOSE: [0.0, 0.0]}.get(policy, [2.0, -1.0])
    assert await server.open_lots() == left
    await house.deal(64, -2.0, position=900, entry=OUT)
    await server.send()
    left = [0.0, -1.0] if policy is LeavePolicy.CLOSE_WITH_MASTER else left
    assert await server.open_lots() == left
    if policy is LeavePolicy.DETACH:
        before = len(await house.facts("children"))
        await server.trade(-E8)
        assert await server.open_lots() == [0.0, 0.0]
        assert len(await house.facts("children")) == before, "the investor's own"


async def test_stops_are_never_copied(house):
    master = await house.master()
    with pytest.raises(NettingStops):
        await house.follower(master, 101, nets=True)
    subscription = await house.follower(master, 102, nets=True, settings=NO_STOPS)
    change = SubscriptionChange(settings=DEFAULT_SETTINGS)
    key = RequestKey(1, "test", "00000000-0000-4000-8000-000000000001", b"")
    with pytest.raises(NettingStops):
        command = UpdateSubscription(key, subscription.subscription_id, change)
        await update_subscription(house.engine, command, now=house.clock.now())
    server = NettingServer(house, 102)
    await house.deal(64, 1.0, position=900, stops=(90_000_000, 120_000_000))
    (batch,) = await house.dispatch()
    assert not batch.stop_losses_e8.any()
    await server.execute(batch)
    await house.move_stops(64, 900, 0.95, 1.2)
    assert await house.dispatch() == []


async def test_an_account_begins_flat_and_with_a_known_margin_mode(house):
    master = await house.master()
    with pytest.raises(MarginModeUnknown):
        await house.follower(master, 101, nets=None)
    house.positions.held[101] = (1, "EURUSD", E8)
    with pytest.raises(NettingPositionsOpen) as refusal:
        await house.follower(master, 101, nets=True, settings=NO_STOPS)
    assert refusal.value.metadata["symbols"] == "EURUSD"
    del house.positions.held[101]
    await house.follower(master, 101, nets=True, settings=NO_STOPS)


async def test_trades_before_the_subscription_are_not_in_the_books(server):
    before = server.house.clock.now() - timedelta(seconds=5)
    await server.house.deal(101, -1.0, position=4_000, entry=OUT, observed_time=before)
    async with transaction(server.house.engine) as tx:
        assert (await tx.exec_driver_sql("SELECT count(*) FROM net_deals")).scalar_one() == 0


async def test_a_position_that_is_not_the_sum_of_its_children_is_shown_with_all_of_them(server):
    house = server.house
    await open_two(server)
    shown, rules = Server(house), Reconciling(5, OrphanPolicy.CLOSE)
    shown.positions[64, 900], shown.positions[64, 901] = (2 * E8, 0), (-E8, 0)
    keeper = LeaseKeeper(house.engine, "reconcile", ["1/7"], "tester", clock=house.clock)
    await keeper.refresh()

    async def look_twice(volume_e8: int) -> Pass:
        shown.positions[101, 7_777] = (volume_e8, 1)  # a ticket that no child has: the account was turned since
        for _ in range(2):
            house.clock.advance(5)
            done = await reconcile_positions(
                house.engine, shown, 1, 7, rules, lease=keeper.held["1/7"], now=house.clock.now()
            )
        return done

    async def flagged() -> list[tuple[int, tuple[Mismatch, ...]]]:
        filters = ChildTradeFilter(only_mismatched=True)
        found = await list_child_trades(house.engine, 1, filters, behind=FIRST, limit=10)
        return [(row.child.open_volume_e8, row.mismatches) for row in found]

    assert (await look_twice(E8)).deviation_count == 0
    assert (await look_twice(E8 // 2)).deviation_count == 1
    assert [mismatches for _, mismatches in await flagged()] == [(Mismatch.CHILD_EXTRA,), (Mismatch.CHILD_MISSING,)]
    assert (await look_twice(E8)).adopted_count == 0
    assert await flagged() == []


@pytest.mark.parametrize("seed", range(6))
async def test_random_days_sum_up(house, seed):
    """Opens, closes, leaving results, foreign trades and stop outs in any order: the books are the position."""
    chance = random.Random(seed)
    await house.follower(await house.master(), 101, nets=True, settings=NO_STOPS)
    server = NettingServer(house, 101)
    server.net_e8["EURUSD"] = 0
    masters: dict[int, float] = {}
    late: list = []
    for number in range(40):
        step = chance.choice(("open", "open", "close", "foreign", "flat", "follow up"))
        lots = chance.randint(1, 30) / 10
        if step == "open":
            masters[900 + number] = lots * chance.choice((1, -1))
            await house.deal(64, masters[900 + number], position=900 + number)
        elif step == "close" and masters:
            position = chance.choice(sorted(masters))
            closed = min(lots, abs(masters[position]))
            signed = -closed if masters[position] > 0 else closed
            await house.deal(64, signed, position=position, entry=OUT)
            masters[position] = round(masters[position] + signed, 1)
            if not masters[position]:
                del masters[position]
        elif step == "foreign":
            await server.trade(round(lots * E8) * chance.choice((1, -1)))
        elif step == "flat" and server.net_e8["EURUSD"]:
            await server.trade(-server.net_e8["EURUSD"])
        else:
            house.waiting += await follow_up_positions(house.engine, now=house.clock.now())
        if chance.random() < 0.5:
            await server.send()
        elif chance.random() < 0.5:
            late += await house.dispatch()
        if chance.random() < 0.2:
            for batch in late:
                await server.execute(batch)
            late.clear()
        async with transaction(house.engine) as tx:
            nobodys = "SELECT coalesce(sum(volume_e8), 0) FROM net_deals WHERE child_trade_id = 0"
            children = "SELECT coalesce(sum(direction * open_volume_e8), 0) FROM child_trades"
            row = (await tx.exec_driver_sql(f"SELECT ({nobodys}) AS nobodys, ({children}) AS children")).one()
        assert row.nobodys + row.children == server.net_e8["EURUSD"], step
    for batch in late:
        await server.execute(batch)
    while decided := house.waiting + await follow_up_positions(house.engine, now=house.clock.now()):
        house.waiting = decided
        await server.send()
    excess = [child for child in await house.children() if not child.volume_e8]
    assert not any(child.open_volume_e8 for child in excess), "what our closes did too much is undone"
