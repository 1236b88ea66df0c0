"""What events did not tell is noticed in what a trading server shows, asked for, and booked as if they had."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from trading_server import Server

from apportion.allocation.adapters.retelling import Retold
from apportion.allocation.consumers import handlers, preparations
from apportion.allocation.domain.allocations import AllocationFilter, AllocationKind
from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.positions import OrphanPolicy
from apportion.allocation.operations.list_allocations import list_allocations
from apportion.allocation.operations.reconcile_positions import Missed, Reconciling, reconcile_positions
from apportion.api.platform_groups.v1 import events_pb2, trading_pb2
from apportion.errors import StaleEpoch
from apportion.money import E8, INT64_MAX
from apportion.storage.leases import Lease, LeaseKeeper

IN, OUT = events_pb2.DEAL_ENTRY_IN, events_pb2.DEAL_ENTRY_OUT
KEY = "1/7"
RULES = Reconciling(5, OrphanPolicy.CLOSE)


@dataclass
class Told:
    """What platform-groups knows, and what it was asked."""

    deals_message: events_pb2.DealsObserved = field(default_factory=events_pb2.DealsObserved)
    pages: list[trading_pb2.OrderColumns] = field(default_factory=list)
    asked: list[object] = field(default_factory=list)

    async def deals(self, label, account_ids, position_tickets, since_time):
        self.asked.append((list(zip(account_ids, position_tickets, strict=True)), since_time))
        return self.deals_message

    async def orders(self, label, source_id):
        self.asked.append(source_id)
        for page in self.pages:
            yield page


@pytest.fixture
def server(house) -> Server:
    return Server(house)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def lease(house) -> Lease:
    keeper = LeaseKeeper(house.engine, "reconcile", [KEY], "tester", clock=house.clock)
    await keeper.refresh()
    return keeper.held[KEY]


@pytest.fixture
def look(house, told, lease, server):
    """One pass, and what it wants to be told again."""
    retold = Retold(
        house.engine,
        told,
        handlers(house.desk, house.clock, house.hand_over),
        preparations(house.desk, house.clock),
        house.clock,
    )

    async def once():
        done = await reconcile_positions(house.engine, server, 1, 7, RULES, lease=lease, now=house.clock.now())
        for missed in done.missed:
            await retold.deals(lease, 1, missed.account_ids, missed.position_tickets, missed.since_time)
        for allocation_id in done.unanswered:
            await retold.orders(lease, 1, allocation_id)
        return done

    once.retold = retold
    return once


async def opened(house, server):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.fill(batch, first_position=5_000)
    server.positions[64, 900], server.positions[101, 5_000] = (E8, 0), (E8, 1)
    return master


async def decisions(house):
    found = await list_allocations(house.engine, 1, AllocationFilter(with_follow_ups=True), before=INT64_MAX, limit=10)
    return [(each.kind, each.trade.deal_ticket) for each in reversed(found)]


class TestOfMasters:
    async def test_a_close_that_no_event_told_is_followed_once(self, house, server, told, look):
        master = await opened(house, server)
        server.positions[64, 900] = (E8 * 4 // 10, 0)
        told.deals_message = house.deals([(77, 64, 900, OUT, -E8 * 6 // 10)])
        done = await look()
        assert done.missed == [Missed([64], [900], master.create_time)]
        assert told.asked[0] == ([(64, 900)], master.create_time)
        (close,) = await house.dispatch()
        assert close.volumes_e8.tolist() == [-E8 * 6 // 10]
        await house.tell(told.deals_message)  # the event comes in the end
        assert house.waiting == []
        assert (await look()).missed == []
        assert (await decisions(house))[1:] == [(AllocationKind.CLOSE, 77)]

    async def test_an_event_that_is_booked_meanwhile_changes_nothing(self, house, server, told, look, lease):
        await opened(house, server)
        del server.positions[64, 900]
        told.deals_message = house.deals([(77, 64, 900, OUT, -E8)])
        await house.tell(told.deals_message)
        await house.dispatch()
        await look.retold.deals(lease, 1, [64], [900], None)
        assert house.waiting == []

    async def test_a_young_open_is_opened_and_an_old_one_is_too_late(self, house, server, told, look):
        await opened(house, server)
        server.positions[64, 901] = (E8, 0)
        told.deals_message = house.deals([(78, 64, 901, IN, E8)], age_ms=1_000)
        await look()
        (batch,) = await house.dispatch()
        assert batch.volumes_e8.tolist() == [E8]
        server.positions[64, 902] = (E8, 0)
        told.deals_message = house.deals([(79, 64, 902, IN, E8)], age_ms=3_600_000)
        await look()
        assert await house.dispatch() == []
        assert (await look()).missed == [], "it is known, though nobody took part"

    async def test_positions_of_which_no_deal_is_known_change_nothing(self, house, server, told, look):
        await opened(house, server)
        server.positions[64, 333] = (E8, 0)
        before = await decisions(house)
        assert (await look()).missed
        assert (await look()).missed
        assert await decisions(house) == before

    async def test_who_lost_the_lease_books_nothing(self, house, server, told, look, lease):
        await opened(house, server)
        told.deals_message = house.deals([(77, 64, 900, OUT, -E8)])
        stale = Lease(lease.kind, lease.key, lease.owner, lease.epoch - 1)
        with pytest.raises(StaleEpoch):
            await look.retold.deals(stale, 1, [64], [900], None)
        assert house.waiting == []


class TestOfChildren:
    async def test_a_close_that_no_event_told_is_booked_when_two_reports_agree(self, house, server, told, look):
        await opened(house, server)
        del server.positions[101, 5_000]
        told.deals_message = house.deals([(77, 101, 5_000, OUT, -E8)])
        assert (await look()).missed == []
        house.clock.advance(5)
        assert (await look()).missed == [Missed((101,), (5_000,))]
        (child,) = await house.children()
        assert (child.state, child.open_volume_e8) == (ChildTradeState.CLOSED, 0)
        assert (await look()).deviation_count == 0
        await house.tell(told.deals_message)
        assert [sum(fact.closed_volumes_e8) for fact in await house.facts("children")] == [E8], "announced once"

    async def test_a_result_that_no_event_told_is_booked(self, house, server, told, look):
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900)
        (batch,) = await house.dispatch()
        await house.project()
        server.positions[64, 900], server.positions[101, 5_000] = (E8, 0), (E8, 1)
        assert (await look()).unanswered == [], "it was just sent"
        house.clock.advance(31)
        told.pages = [house.filled(batch, first_position=5_000)]
        assert len((await look()).unanswered) == 1
        assert told.asked[-1] == batch.source_id
        (child,) = await house.children()
        assert (child.state, child.position_ticket, child.open_volume_e8) == (ChildTradeState.FILLED, 5_000, E8)
        done = await look()
        assert (done.unanswered, done.deviation_count) == ([], 0)
