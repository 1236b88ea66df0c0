"""Closes on netting accounts that come when others have closed their children: what they open is closed again."""

from __future__ import annotations

from datetime import timedelta

import pytest
from netting_server import NO_STOPS, OUT, NettingServer, open_two

from apportion.allocation.adapters.platform_groups import PURPOSES
from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.copy_settings import LeavePolicy
from apportion.allocation.domain.master_trades import MasterTradeFilter
from apportion.allocation.domain.mismatch import Mismatch
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.storage.allocations import list_undispatched
from apportion.allocation.storage.holdings import load_holdings
from apportion.allocation.storage.master_trades import list_master_trades
from apportion.allocation.storage.net_deals import EXCESS
from apportion.allocation.storage.subscription_sets import make_set
from apportion.money import E8, INT64_MAX
from apportion.storage import transaction

FILLED, CLOSED = ChildTradeState.FILLED, ChildTradeState.CLOSED


@pytest.fixture
async def server(house) -> NettingServer:
    master = await house.master()
    await house.follower(master, 101, nets=True, settings=NO_STOPS)
    return NettingServer(house, 101)


async def close_too_late(server: NettingServer):
    """The account's owner flattens it while the close of one of two opposite children is on its way. Returns what was
    opened by that.
    """
    await open_two(server, -2.0, 1.0)
    await server.house.deal(64, 2.0, position=900, entry=OUT)
    (closing,) = await server.house.dispatch()
    assert closing.position_tickets.tolist() == [0]
    await server.trade(E8)
    assert await server.open_lots() == [0.0, 0.0]
    await server.execute(closing)
    assert await server.open_lots() == [0.0, 0.0, 2.0]
    sold, _, excess = await server.house.children()
    assert (excess.state, excess.reason) == (FILLED, EXCESS)
    assert (excess.volume_e8, excess.filled_volume_e8) == (0, 2 * E8)
    assert (excess.subscription_id, excess.master_position_ticket) == (sold.subscription_id, 900)
    assert f"allocation/{excess.allocation_id}" == closing.source_id
    return excess


async def test_what_a_late_close_did_too_much_is_closed_at_once(server):
    house = server.house
    excess = await close_too_late(server)
    told = len(await house.facts("children"))
    await server.send()
    assert server.orders[-1] == (excess.child_trade_id, -2.0, server.ticket), "bound to the position"
    assert await server.open_lots() == [0.0, 0.0, 0.0]
    assert [child.state for child in await house.children()] == [CLOSED] * 3
    assert len(await house.facts("children")) == told, "nobody pays for it"
    assert excess.child_trade_id not in {
        child for fact in await house.facts("children") for child in fact.child_trade_ids
    }
    for fact in await house.facts("allocations"):
        explained = await explain_allocation(house.engine, 1, fact.allocation.allocation_id, first=0, limit=10)
        assert explained.agrees
    assert await follow_up_positions(house.engine, now=house.clock.now()) == []


async def test_what_was_too_much_is_no_part_of_its_masters_trade_and_shown_while_nothing_closes_it(server):
    house = server.house
    await close_too_late(server)
    async with transaction(house.engine) as tx:
        trades = await list_master_trades(tx, 1, MasterTradeFilter(with_closed=True), before=INT64_MAX, limit=10)
    (trade,) = [trade for trade in trades if trade.position_ticket == 900]
    assert (trade.child_count, trade.open_child_count, trade.facts.actual_volume_e8) == (1, 0, 0)
    assert trade.facts.extra_child_count == 0, "its close is on its way"
    (closing,) = await house.dispatch()
    await house.fill(closing, lots=dict.fromkeys(closing.item_ids.tolist(), 0))  # refused
    async with transaction(house.engine) as tx:
        wanted = MasterTradeFilter(with_closed=True, only_mismatched=True)
        trades = await list_master_trades(tx, 1, wanted, before=INT64_MAX, limit=10)
    (trade,) = [trade for trade in trades if trade.position_ticket == 900]
    assert trade.mismatches == (Mismatch.CHILD_EXTRA,)
    house.waiting += await follow_up_positions(house.engine, now=house.clock.now())
    await server.send()
    assert await server.open_lots() == [0.0, 0.0, 0.0]


async def test_what_was_too_much_is_closed_once_whatever_dies_between(server):
    house = server.house
    await open_two(server, -2.0, 1.0)
    await house.deal(64, 2.0, position=900, entry=OUT)
    (closing,) = await house.dispatch()
    await server.trade(E8)
    house.dies = True  # before the close was decided
    await server.execute(closing)
    house.dies = False
    assert house.waiting == []
    (decided,) = await follow_up_positions(house.engine, now=house.clock.now())
    assert await follow_up_positions(house.engine, now=house.clock.now()) == []
    async with transaction(house.engine) as tx:  # died again, before it was sent
        waiting = await list_undispatched(tx, before=house.clock.now() + timedelta(seconds=1), limit=10)
    assert waiting == [(1, decided.allocation_id)]
    for _ in range(2):
        await house.dispatch_stored(decided.allocation_id)
    (undoing,) = [batch for batch in house.orders.batches if batch.source_id.endswith(f"/{decided.allocation_id}")]
    await server.execute(undoing)
    assert await server.open_lots() == [0.0, 0.0, 0.0]


async def test_the_owner_who_closes_what_was_too_much_first_is_not_closed_again(server):
    house = server.house
    await close_too_late(server)
    (closing,) = await house.dispatch()
    await server.trade(-2 * E8)
    assert await server.open_lots() == [0.0, 0.0, 0.0]
    await server.execute(closing)  # refused: the position is gone
    assert await server.open_lots() == [0.0, 0.0, 0.0]
    assert await follow_up_positions(house.engine, now=house.clock.now()) == []
    states = [(child.state, child.open_volume_e8) for child in await house.children()]
    assert states == [(CLOSED, 0)] * 3


async def test_a_late_close_is_booked_once_and_in_parts(server):
    house = server.house
    await open_two(server, -2.0, 1.0)
    await house.deal(64, 2.0, position=900, entry=OUT)
    (closing,) = await house.dispatch()
    await server.trade(E8)
    order = (closing.source_id, int(closing.item_ids[0]), PURPOSES[closing.kind])
    for ticket, lots in ((77, 0.5), (77, 0.5), (78, 1.5), (77, 0.5), (78, 1.5)):
        await house.deal(101, lots, position=6_000, ticket=ticket, ordered=True, order=order)
    server.net_e8["EURUSD"], server.ticket = 2 * E8, 6_000
    assert await server.open_lots() == [0.0, 0.0, 2.0]
    await house.fill(closing, first_position=6_000)
    await server.send()
    assert await server.open_lots() == [0.0, 0.0, 1.5], "what the first deal did"
    house.waiting += await follow_up_positions(house.engine, now=house.clock.now())
    await server.send()
    assert await server.open_lots() == [0.0, 0.0, 0.0]
    async with transaction(house.engine) as tx:
        query = "SELECT count(*) FROM net_deals WHERE child_trade_id = 0"
        assert (await tx.exec_driver_sql(query)).scalar_one() == 0


async def test_a_close_that_finds_only_a_part_does_the_rest_too_much(server):
    await open_two(server, 3.0, -1.0)
    await server.house.deal(64, -3.0, position=900, entry=OUT)
    (closing,) = await server.house.dispatch()
    await server.trade(-E8)  # takes one lot of the bought child
    await server.execute(closing)
    assert await server.open_lots() == [0.0, -1.0, -1.0]
    await server.send()
    assert await server.open_lots() == [0.0, -1.0, 0.0]


async def test_a_late_close_of_what_was_too_much_is_mended_as_well(server):
    """The owner flattens the account again while that close, too, is on its way without a ticket."""
    house = server.house
    await open_two(server, -2.0, 1.0)
    await house.deal(64, 2.0, position=900, entry=OUT)
    (first,) = await house.dispatch()
    await server.trade(E8)
    await house.deal(64, -1.0, position=902)
    (opening,) = await house.dispatch()
    await house.project()
    await server.execute(first)
    (second,) = await house.dispatch()
    assert second.position_tickets.tolist() == [0], "an opposite child is on its way"
    await server.execute(opening)
    await server.trade(-E8)
    assert await server.open_lots() == [0.0] * 4
    await server.execute(second)
    assert await server.open_lots() == [0.0, 0.0, 0.0, 0.0, -2.0]
    await server.send()
    assert await server.open_lots() == [0.0] * 5


async def test_what_was_too_much_outlives_a_detached_subscription_and_counts_for_no_limit(house):
    master = await house.master()
    subscription = await house.follower(master, 101, nets=True, settings=NO_STOPS)
    server = NettingServer(house, 101)
    excess = await close_too_late(server)
    async with transaction(house.engine) as tx:
        subscriptions = await make_set(tx, master.master_id, 99)
        holdings = await load_holdings(tx, subscriptions)
    assert holdings.volumes_e8.tolist() == [0]
    await house.end(subscription, LeavePolicy.DETACH)
    found = {child.child_trade_id: child.state for child in await house.children()}
    assert found[excess.child_trade_id] is FILLED
    await server.send()
    assert await server.open_lots() == [0.0, 0.0, 0.0]


async def test_a_detached_childs_late_close_leaves_nothing_to_its_investor(house):
    subscription = await house.follower(await house.master(), 101, nets=True, settings=NO_STOPS)
    server = NettingServer(house, 101)
    await open_two(server, -2.0, 1.0)
    await house.deal(64, 2.0, position=900, entry=OUT)
    (closing,) = await house.dispatch()
    await house.end(subscription, LeavePolicy.DETACH)
    await server.trade(E8)
    await server.execute(closing)
    assert await server.open_lots() == [0.0, 0.0, 2.0]
    await server.send()
    assert await server.open_lots() == [0.0, 0.0, 0.0]
