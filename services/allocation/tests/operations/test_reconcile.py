"""What a trading server shows otherwise than the books: nothing counts before two complete reports agree."""

from __future__ import annotations

import pytest
from mismatch_twin import alarms
from sqlalchemy import text
from trading_server import Server

from apportion.allocation.domain.child_listing import ChildTradeFilter, ChildTradeGrouping
from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.master_trades import MasterTradeFilter
from apportion.allocation.domain.mismatch import Mismatch
from apportion.allocation.domain.positions import OrphanPolicy
from apportion.allocation.operations import reconcile_positions as reconcile_module
from apportion.allocation.operations.count_mismatches import count_mismatches
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.list_child_trades import list_child_trades
from apportion.allocation.operations.list_master_trades import list_master_trades
from apportion.allocation.operations.reconcile_positions import Pass, Reconciling, reconcile_positions
from apportion.allocation.storage.child_listing import FIRST
from apportion.api.platform_groups.v1 import events_pb2
from apportion.errors import StaleEpoch, UpstreamUnavailable
from apportion.money import E8, INT64_MAX
from apportion.storage import transaction
from apportion.storage.leases import LeaseKeeper

OUT = events_pb2.DEAL_ENTRY_OUT
KEY = "1/7"
CLOSE, SHOW = Reconciling(5, OrphanPolicy.CLOSE), Reconciling(5, OrphanPolicy.SHOW)


@pytest.fixture
def server(house) -> Server:
    return Server(house)


@pytest.fixture
async def look(house, server):
    """One pass over the server; `twice` with enough time between."""
    keeper = LeaseKeeper(house.engine, "reconcile", [KEY], "tester", clock=house.clock)
    await keeper.refresh()
    lease = keeper.held[KEY]

    async def once(rules: Reconciling = CLOSE) -> Pass:
        return await reconcile_positions(house.engine, server, 1, 7, rules, lease=lease, now=house.clock.now())

    async def twice(rules: Reconciling = CLOSE) -> Pass:
        await once(rules)
        house.clock.advance(5)
        return await once(rules)

    once.twice = twice
    return once


async def opened(house, server, *, followers=(101, 102), volume_lots=1.0):
    """A master bought; his followers' positions are on the server as the books have them."""
    master = await house.master()
    for account_id in followers:
        await house.follower(master, account_id)
    await house.deal(64, volume_lots, position=900)
    (batch,) = await house.dispatch()
    await house.fill(batch, first_position=5_000)
    server.positions[64, 900] = (round(volume_lots * E8), 0)
    for number, account_id in enumerate(followers):
        server.positions[account_id, 5_000 + number] = (round(volume_lots * E8), 1 + number)
    return master


async def rows(house, **filters):
    return await list_child_trades(house.engine, 1, ChildTradeFilter(**filters), behind=FIRST, limit=100)


async def flagged(house) -> dict[int, tuple[Mismatch, ...]]:
    return {row.child.account_id: row.mismatches for row in await rows(house, only_mismatched=True)}


async def master_rows(house, before=INT64_MAX, limit=10, **wanted):
    return await list_master_trades(house.engine, 1, MasterTradeFilter(**wanted), before=before, limit=limit)


async def test_books_that_agree_are_no_deviation(house, server, look):
    await opened(house, server)
    done = await look.twice()
    assert (done.account_count, done.deviation_count) == (2, 0)
    assert await flagged(house) == {}


class TestMissing:
    async def test_it_counts_after_two_reports_some_seconds_apart(self, house, server, look):
        await opened(house, server)
        del server.positions[102, 5_001]
        assert (await look()).wants_second_look
        house.clock.advance(4)
        assert (await look()).wants_second_look
        assert await flagged(house) == {}
        house.clock.advance(1)
        assert not (await look()).wants_second_look
        assert await flagged(house) == {102: (Mismatch.CHILD_MISSING,)}
        (row,) = await master_rows(house)
        assert Mismatch.CHILD_MISSING in row.mismatches
        assert [child.open_volume_e8 for child in await house.children()] == [E8, E8], "only deals close"

    async def test_the_closing_deal_books_it_and_the_mark_goes(self, house, server, look):
        await opened(house, server)
        del server.positions[102, 5_001]
        await look.twice()
        await house.deal(102, -1.0, position=5_001, entry=OUT)
        assert await flagged(house) == {}
        assert (await look()).deviation_count == 0
        assert [child.state for child in await house.children()] == [ChildTradeState.FILLED, ChildTradeState.CLOSED]
        assert house.waiting == [], "what its investor closed is not opened again"

    async def test_what_is_gone_is_not_closed_again_and_again(self, house, server, look):
        await opened(house, server, followers=(101,))
        server.positions.clear()
        await look.twice()
        await house.deal(64, -1.0, position=900, entry=OUT)
        (close,) = await house.dispatch()
        await house.fill(close, lots=dict.fromkeys(close.item_ids.tolist(), 0))
        assert await follow_up_positions(house.engine, now=house.clock.now()) == []
        assert await flagged(house) == {101: (Mismatch.CHILD_MISSING, Mismatch.MASTER_CLOSED)}
        await house.deal(101, -1.0, position=5_000, entry=OUT)
        assert await flagged(house) == {}

    async def test_a_position_that_comes_back_is_no_deviation(self, house, server, look):
        await opened(house, server)
        kept = server.positions.pop((102, 5_001))
        await look.twice()
        server.positions[102, 5_001] = kept
        assert (await look()).deviation_count == 0
        assert await flagged(house) == {}

    async def test_other_volumes_count_from_their_first_report(self, house, server, look):
        await opened(house, server)
        server.positions[102, 5_001] = (E8 // 2, 2)
        await look()
        house.clock.advance(5)
        server.positions[102, 5_001] = (E8 // 4, 2)
        assert (await look()).unconfirmed_count == 1
        house.clock.advance(5)
        assert (await look()).unconfirmed_count == 0
        assert await flagged(house) == {102: (Mismatch.CHILD_MISSING,)}

    async def test_no_report_is_never_flat(self, house, server, look):
        await opened(house, server)
        server.positions.clear()
        server.is_down = True
        for _ in range(3):
            with pytest.raises(UpstreamUnavailable):
                await look()
            house.clock.advance(60)
        assert await flagged(house) == {}


class TestExtra:
    async def test_more_on_the_server_than_by_the_books_is_shown(self, house, server, look):
        await opened(house, server)
        server.positions[101, 5_000] = (2 * E8, 1)
        await look.twice()
        assert await flagged(house) == {101: (Mismatch.CHILD_EXTRA,)}
        assert await follow_up_positions(house.engine, now=house.clock.now()) == []

    async def test_the_other_direction_is_missing(self, house, server, look):
        await opened(house, server)
        server.positions[101, 5_000] = (-E8, 1)
        await look.twice()
        assert await flagged(house) == {101: (Mismatch.CHILD_MISSING,)}


class TestOrphans:
    async def late_open(self, house, server):
        """An order ended without a trace; later its position is there."""
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900)
        (batch,) = await house.dispatch()
        await house.tell_missed(batch)
        server.positions[101, 5_000] = (E8, 1)
        return batch

    async def test_a_late_open_is_closed_by_a_follow_up(self, house, server, look):
        await self.late_open(house, server)
        done = await look.twice()
        assert done.adopted_count == 1
        house.waiting += await follow_up_positions(house.engine, now=house.clock.now())
        (close,) = await house.dispatch()
        assert (close.account_ids.tolist(), close.position_tickets.tolist()) == ([101], [5_000])
        assert close.volumes_e8.tolist() == [-E8]
        await house.fill(close)
        await house.deal(101, -1.0, position=5_000, entry=OUT, ordered=True)
        del server.positions[101, 5_000]
        assert (await look()).deviation_count == 0
        (child,) = await house.children()
        assert (child.state, child.reason, child.open_volume_e8) == (ChildTradeState.CLOSED, "ORPHAN", 0)
        assert [sum(fact.closed_volumes_e8) for fact in await house.facts("children")] == [E8]

    async def test_show_shows_it_and_closes_nothing(self, house, server, look):
        await self.late_open(house, server)
        done = await look.twice(SHOW)
        assert (done.adopted_count, done.deviation_count) == (0, 1)
        (row,) = [row for row in await rows(house, only_mismatched=True) if row.facts.is_foreign]
        assert (row.child.position_ticket, row.child.reason) == (5_000, "ORPHAN")
        assert await follow_up_positions(house.engine, now=house.clock.now()) == []

    async def test_what_the_books_closed_with_its_master_and_the_server_has_is_closed_again(self, house, server, look):
        await opened(house, server, followers=(101,))
        await house.deal(64, -1.0, position=900, entry=OUT)
        (close,) = await house.dispatch()
        await house.fill(close)
        await house.deal(101, -1.0, position=5_000, entry=OUT, ordered=True)
        assert (await look()).adopted_count == 0, "one report is not enough"
        house.clock.advance(5)
        assert (await look()).adopted_count == 1
        (again,) = await follow_up_positions(house.engine, now=house.clock.now())
        assert (again.wave, abs(again.volume_sum_e8)) == (1, E8)

    async def test_what_its_investor_closed_stays_closed(self, house, server, look):
        """His master is still in: more on the server is shown, not taken into the books."""
        await opened(house, server, followers=(101,))
        await house.deal(101, -1.0, position=5_000, entry=OUT)
        assert (await look.twice()).adopted_count == 0
        assert await flagged(house) == {101: (Mismatch.CHILD_EXTRA,)}

    async def test_an_order_whose_result_is_on_its_way_is_no_orphan(self, house, server, look):
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900)
        (batch,) = await house.dispatch()
        await house.project()
        server.positions[101, 5_000] = (E8, 1)
        done = await look.twice()
        assert (done.unconfirmed_count, done.adopted_count) == (1, 0)
        await house.fill(batch, first_position=5_000)
        assert (await look()).deviation_count == 0

    async def test_an_order_of_nobodys_child_is_shown(self, house, server, look):
        await opened(house, server)
        server.positions[101, 7_000] = (E8, 77)
        assert (await look.twice()).adopted_count == 0
        (row,) = await rows(house, only_mismatched=True)
        assert (row.child.position_ticket, row.child.reason, row.child.allocation_id) == (7_000, "ORPHAN", 0)


class TestForeign:
    async def test_positions_opened_by_hand_are_rows_without_a_master(self, house, server, look):
        master = await opened(house, server)
        server.positions[101, 8_000] = (-E8 // 2, 0)
        await look()
        assert len(await rows(house)) == 2
        foreign, *children = await rows(house, include_foreign=True)
        assert foreign.mismatches == (Mismatch.NO_MASTER_TRADE,)
        assert (foreign.child.child_trade_id, foreign.child.master_id, foreign.child.open_volume_e8) == (0, 0, -E8 // 2)
        assert (foreign.child.account_login, foreign.child.symbol) == (10_101, "EURUSD")
        assert len(children) == 2
        assert len(await rows(house, include_foreign=True, master_id=master.master_id)) == 3
        for other in ({"master_id": 999}, {"subscription_id": 999}, {"symbol": "GBPUSD"}):
            assert await rows(house, include_foreign=True, **other) == []
        for own in ({"allocation_id": children[0].child.allocation_id}, {"master_position_ticket": 900}):
            assert len(await rows(house, include_foreign=True, **own)) == 2
        assert len(await rows(house, include_foreign=True, states=(ChildTradeState.FILLED,))) == 2
        del server.positions[101, 8_000]
        await look()
        assert len(await rows(house, include_foreign=True)) == 2

    @pytest.mark.parametrize("grouping", ChildTradeGrouping)
    async def test_pages_are_stable_in_every_grouping(self, house, server, look, grouping):
        master = await opened(house, server)
        for number, account_id in enumerate((101, 102, 101)):
            server.positions[account_id, 8_000 + number] = (E8, 0)
        for position in (901, 902):
            await house.deal(64, 1.0, position=position)
        for batch in await house.dispatch():
            await house.fill(batch, first_position=6_000 + int(batch.item_ids[0]) % 1_000_000_007)
        await look()
        filters = ChildTradeFilter(include_foreign=True, master_id=master.master_id, grouping=grouping)
        whole = await list_child_trades(house.engine, 1, filters, behind=FIRST, limit=100)
        assert len(whole) == 9
        paged, place = [], FIRST
        while page := await list_child_trades(house.engine, 1, filters, behind=place, limit=2):
            paged += page
            place = page[-1].place
            if len(paged) == 4:  # what comes meanwhile moves nobody
                server.positions[102, 8_100] = (E8, 0)
                await look()
                await house.deal(64, 1.0, position=903)
                await house.project()
        assert [row for row in paged if row in whole] == whole
        assert len(set(map(repr, paged))) == len(paged)


class TestAccounts:
    async def test_an_account_that_left_spoils_nobody_elses_report(self, house, server, look):
        await opened(house, server)
        server.left = {101}
        del server.positions[102, 5_001]
        assert (await look()).account_count == 1
        house.clock.advance(5)
        await look()
        assert await flagged(house) == {101: (Mismatch.ACCOUNT_LEFT,), 102: (Mismatch.CHILD_MISSING,)}

    async def test_one_account_with_too_much_to_tell_is_left_out(self, house, server, look):
        await opened(house, server)
        server.crowded = {101}
        del server.positions[102, 5_001]
        await look.twice()
        assert await flagged(house) == {102: (Mismatch.CHILD_MISSING,)}

    async def test_as_many_are_asked_for_at_once_as_have_few_positions_by_the_books(
        self, house, server, look, monkeypatch
    ):
        await opened(house, server, followers=(101, 102, 103, 104, 105))
        monkeypatch.setattr(reconcile_module, "BATCH_POSITIONS", 2)
        server.asked.clear()
        done = await look()
        assert server.asked == [[64], [101, 102], [103, 104], [105]]
        assert (done.account_count, done.deviation_count) == (5, 0)
        monkeypatch.setattr(reconcile_module, "BATCH_ACCOUNTS", 1)
        server.asked.clear()
        await look()
        assert server.asked == [[64], [101], [102], [103], [104], [105]]

    async def test_an_account_that_is_back_is_compared_again(self, house, server, look):
        await opened(house, server)
        server.left = {101}
        await look()
        server.left = set()
        assert (await look()).account_count == 2
        assert await flagged(house) == {}

    async def test_deviations_of_accounts_that_concern_nobody_are_forgotten(self, house, server, look):
        master = await house.master()
        subscription = await house.follower(master, 101)
        server.positions[101, 8_000] = (E8, 0)
        await look()
        assert len(await rows(house, include_foreign=True)) == 1
        await house.end(subscription)
        assert (await look()).account_count == 0
        assert await rows(house, include_foreign=True) == []

    async def test_who_lost_the_lease_writes_nothing(self, house, server, look):
        await opened(house, server)
        server.positions.clear()
        other = LeaseKeeper(house.engine, "reconcile", [KEY], "other", clock=house.clock)
        async with transaction(house.engine) as tx:
            await tx.execute(text("UPDATE leases SET lease_until = '-infinity' WHERE kind = 'reconcile'"))
            await tx.execute(text("DELETE FROM workers WHERE kind = 'reconcile'"))
        await other.refresh()
        with pytest.raises(StaleEpoch):
            await look()


async def test_the_filter_and_the_flags_agree(house, server, look):
    await opened(house, server, followers=(101, 102, 103))
    del server.positions[102, 5_001]
    server.left = {103}
    server.positions[101, 8_000] = (E8, 0)
    await look.twice()
    await house.deal(64, 1.0, position=901)
    (batch,) = await house.dispatch()
    await house.fill(batch, first_position=6_000, lots={batch.item_ids.tolist()[0]: 0})
    everything = await rows(house, include_foreign=True)
    filtered = await rows(house, only_mismatched=True)
    assert filtered == [row for row in everything if alarms(row.mismatches)]
    assert {len(row.mismatches) for row in everything} == {0, 1}
    assert len(filtered) == 5
    alarming = await master_rows(house, only_mismatched=True)
    assert await count_mismatches(house.engine, 1, 7) == {
        "master_trades": len(alarming),
        "child_trades": sum(row.child.open_volume_e8 != 0 and not row.facts.is_foreign for row in filtered),
        "foreign_positions": sum(row.facts.is_foreign for row in filtered),
    }
    assert len(alarming) == 2
    assert set((await count_mismatches(house.engine, 1, 8)).values()) == {0}, "of another server"
