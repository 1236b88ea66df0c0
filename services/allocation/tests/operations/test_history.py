"""The history of deals, and equities day by day."""

from __future__ import annotations

import pytest
from history_events import MONDAY, START_MS, Server, deals, keep, look, payment, trade
from sqlalchemy import text

from apportion.allocation.domain.history import DAY_MS, HistoryEntry, HistoryFilter
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.operations.find_scope import Owner
from apportion.allocation.operations.get_equity_curve import get_equity_curve
from apportion.allocation.operations.get_statistics import get_statistics
from apportion.allocation.operations.list_history import list_history
from apportion.allocation.operations.refresh_leaderboard import refresh_leaderboard
from apportion.allocation.storage.history_expiries import history_expiries
from apportion.api.platform_groups.v1 import events_pb2
from apportion.errors import MalformedMessage, NotFound, StaleEpoch
from apportion.money import E8, INT64_MAX
from apportion.rpc import set_column
from apportion.runtime import ServiceSettings
from apportion.storage import transaction
from apportion.storage.leases import Lease, LeaseKeeper
from apportion.storage.purge import Purge

MASTER, FOLLOWER = 64, 101


async def history(house, owner: Owner, *, label=1, before=(INT64_MAX, INT64_MAX), limit=100, **filters):
    rows = await list_history(house.engine, label, owner, HistoryFilter(**filters), before=before, limit=limit)
    return [row.deal_ticket for row in rows]


async def tell(house, source: str, transfer_id: int) -> None:
    message = events_pb2.TransfersUpdated(source=source)
    set_column(message, "transfer_ids", [transfer_id])
    await keep(house, message)


@pytest.fixture
async def lease(house):
    keeper = LeaseKeeper(house.engine, "statistics", ["all"], "test", clock=house.clock)
    await keeper.refresh()
    yield keeper.held["all"]
    await keeper.release_all()


class TestDeals:
    async def test_deals_of_masters_and_followers_are_kept_once_those_of_others_are_not(self, house):
        master = await house.master()
        await house.follower(master, FOLLOWER)
        message = deals(
            house,
            trade(1, MASTER, 900, 1, 1.0, server_times_ms=START_MS + 1, commissions_minor=-7, reasons=1, order_ids=5),
            trade(2, FOLLOWER, 5_000, 1, 1.0),
            trade(3, 999, 6_000, 1, 1.0),
            payment(4, MASTER, -500, server_times_ms=START_MS + 2, swaps_minor=0),
        )
        await keep(house, message)
        await keep(house, message)
        async with transaction(house.engine) as tx:
            kept = await tx.execute(text("SELECT account_id, deal_ticket FROM account_deals ORDER BY deal_ticket"))
            assert [tuple(row) for row in kept] == [(MASTER, 1), (FOLLOWER, 2), (MASTER, 4)]
        paid, opened = await list_history(
            house.engine,
            1,
            Owner(master_id=master.master_id),
            HistoryFilter(),
            before=(INT64_MAX, INT64_MAX),
            limit=10,
        )
        assert (paid.entry, paid.symbol, paid.volume_e8, paid.profit_minor) == (HistoryEntry.BALANCE, "", 0, -500)
        assert (opened.entry, opened.symbol, opened.volume_e8, opened.price_e8) == (HistoryEntry.IN, "EURUSD", E8, E8)
        assert (opened.commission_minor, opened.server_time_ms, opened.child_trade_id) == (-7, START_MS + 1, 0)

    async def test_a_label_keeps_deals_of_its_own_accounts_only(self, house):
        master = await house.master()
        await keep(house, deals(house, trade(1, MASTER, 900, 1, 1.0)), label=2)
        assert await history(house, Owner(master_id=master.master_id)) == []
        with pytest.raises(NotFound):
            await history(house, Owner(master_id=master.master_id), label=2)

    async def test_columns_of_different_lengths_are_refused(self, house):
        await house.master()
        message = deals(house, trade(1, MASTER, 900, 1, 1.0))
        set_column(message, "swaps_minor", [])
        with pytest.raises(MalformedMessage):
            await keep(house, message)

    async def test_filters_and_order(self, house):
        owner = Owner(master_id=(await house.master()).master_id)
        rows = [trade(n, MASTER, 900, n % 4 + 1, 1.0, server_times_ms=START_MS + n // 2) for n in range(1, 7)]
        await keep(house, deals(house, *rows, payment(7, MASTER, 1, server_times_ms=START_MS)))
        assert await history(house, owner) == [6, 5, 4, 3, 2, 7, 1]
        assert await history(house, owner, before=(START_MS + 2, 5), limit=2) == [4, 3]
        assert await history(house, owner, start_server_time_ms=START_MS + 1, end_server_time_ms=START_MS + 2) == [3, 2]
        assert await history(house, owner, entries=(HistoryEntry.BALANCE,)) == [7]
        assert await history(house, owner, entries=(HistoryEntry.IN, HistoryEntry.IN_OUT)) == [6, 4, 2]


class TestSubscriptions:
    async def test_it_sees_its_own_child_trades_and_what_is_the_investors_own(self, house):
        first = await house.master()
        second = await house.master(account_id=65)
        one, two = await house.follower(first, FOLLOWER), await house.follower(second, FOLLOWER)
        await house.deal(MASTER, 1.0, position=900)
        await house.deal(65, 2.0, position=901)
        for number, batch in enumerate(await house.dispatch()):
            await house.fill(batch, first_position=5_000 + number)
        await keep(
            house,
            deals(
                house,
                trade(11, FOLLOWER, 5_000, 1, 1.0),
                trade(12, FOLLOWER, 5_001, 1, 2.0),
                trade(13, FOLLOWER, 7_777, 1, 3.0),
                payment(14, FOLLOWER, 100),
            ),
        )
        assert await history(house, Owner(subscription_id=one.subscription_id)) == [14, 13, 11]
        assert await history(house, Owner(subscription_id=two.subscription_id)) == [14, 13, 12]
        rows = await list_history(
            house.engine,
            1,
            Owner(subscription_id=one.subscription_id),
            HistoryFilter(),
            before=(START_MS, 12),
            limit=1,
        )
        async with transaction(house.engine) as tx:
            query = text("SELECT child_trade_id FROM child_trades WHERE subscription_id = :subscription_id")
            children = await tx.execute(query, {"subscription_id": one.subscription_id})
            assert [row.child_trade_id for row in rows] == list(children.scalars())

    async def test_in_a_position_of_many_it_sees_the_deals_that_were_its_own(self, house):
        first, second = await house.master(), await house.master(account_id=65)
        one, two = await house.follower(first, FOLLOWER), await house.follower(second, FOLLOWER)
        await house.deal(MASTER, 1.0, position=900)
        await house.deal(65, 2.0, position=901)
        for number, batch in enumerate(await house.dispatch()):
            await house.fill(batch, first_position=5_000 + number)
        rows = [trade(ticket, FOLLOWER, 5_000, 1, 1.0) for ticket in (11, 12, 13, 14)]
        await keep(house, deals(house, *rows))
        async with transaction(house.engine) as tx:
            await tx.execute(text("UPDATE child_trades SET nets = true, position_ticket = 5000"))
            query = text("SELECT child_trade_id FROM child_trades ORDER BY subscription_id")
            ones, twos = (await tx.execute(query)).scalars()
            for ticket, child in ((11, ones), (12, twos), (13, 0), (14, ones), (14, twos)):  # 13 is the investor's own
                query = text("INSERT INTO net_deals VALUES (:account, :ticket, :child, 1, 'EURUSD', 1)")
                await tx.execute(query, {"account": FOLLOWER, "ticket": ticket, "child": child})
        assert await history(house, Owner(subscription_id=one.subscription_id)) == [14, 13, 11]
        assert await history(house, Owner(subscription_id=two.subscription_id)) == [14, 13, 12]

    async def test_it_sees_nothing_of_before_it_was_and_after_it_only_its_own(self, house):
        first = await house.master()
        await house.follower(first, FOLLOWER)
        house.clock.advance(60)
        second = await house.master(account_id=65)
        subscription = await house.follower(second, FOLLOWER)
        owner = Owner(subscription_id=subscription.subscription_id)
        await house.deal(65, 2.0, position=901)
        (batch,) = await house.dispatch()
        await house.fill(batch, first_position=5_000)
        # Read now, but 30 s old by the server's clock; and one that is not.
        late = [payment(1, FOLLOWER, 5), payment(2, FOLLOWER, 7, server_times_ms=START_MS + 30_000)]
        await keep(house, deals(house, *late, server_time_ms=START_MS + 30_000))
        assert await history(house, owner) == [2]
        house.clock.advance(1)
        await house.end(subscription)
        house.clock.advance(60)
        await keep(house, deals(house, payment(3, FOLLOWER, 7), trade(4, FOLLOWER, 5_000, 2, -2.0)))
        assert await history(house, owner) == [2, 4]


class TestStatistics:
    async def test_equities_are_looked_at_once_a_day_first_and_last(self, house, lease):
        master = await house.master()
        await house.follower(master, FOLLOWER)
        server, owner = Server(house), Owner(master_id=master.master_id)
        house.states.equities_minor[999] = 5
        await look(house, server, lease, START_MS + 1_000, a64=1_000)
        await look(house, server, lease, START_MS + 3_000, a64=3_000)
        await look(house, server, lease, START_MS + 2_000, a64=2_000)
        await look(house, server, lease, START_MS + DAY_MS, a64=4_000)
        await look(house, server, lease, 0, a64=9_000)
        days = await get_equity_curve(house.engine, 1, owner, first_day=0, last_day=MONDAY + 9, limit=10)
        assert (days.opening_equity_minor, days.equities_minor.tolist()) == (1_000, [3_000, 4_000])
        assert days.server_days.tolist() == [MONDAY, MONDAY + 1]
        newest = await get_equity_curve(house.engine, 1, owner, first_day=0, last_day=MONDAY + 9, limit=1)
        assert (newest.opening_equity_minor, newest.server_days.tolist()) == (3_000, [MONDAY + 1])
        async with transaction(house.engine) as tx:
            seen = await tx.execute(text("SELECT DISTINCT account_id FROM equity_days ORDER BY account_id"))
            assert list(seen.scalars()) == [MASTER, FOLLOWER]

    async def test_of_two_looks_in_one_moment_of_the_server_the_later_counts(self, house, lease):
        master = await house.master()
        server = Server(house)
        await look(house, server, lease, START_MS, a64=1_000)
        house.clock.advance(1)
        await look(house, server, lease, START_MS, a64=2_000)
        owner = Owner(master_id=master.master_id)
        days = await get_equity_curve(house.engine, 1, owner, first_day=0, last_day=MONDAY, limit=10)
        assert (days.opening_equity_minor, days.equities_minor.tolist()) == (1_000, [2_000])

    async def test_who_lost_the_lease_writes_nothing(self, house, lease):
        await house.master(AllocationMethod.COPY_BY_EQUITY)
        stale = Lease(lease.kind, lease.key, "somebody else", lease.epoch)
        with pytest.raises(StaleEpoch):
            await look(house, Server(house), stale, START_MS)
        with pytest.raises(StaleEpoch):
            await refresh_leaderboard(house.engine, stale, now=house.clock.now())

    async def test_deposits_are_flows_and_fees_are_results(self, house, lease):
        master = await house.master()
        server, owner = Server(house), Owner(master_id=master.master_id)
        await look(house, server, lease, START_MS, a64=100_000)
        credit = {**payment(2, MASTER, 5_000, server_times_ms=START_MS + 2), "actions": events_pb2.DEAL_ACTION_CREDIT}
        late = {"server_times_ms": START_MS + 3}
        paid = [payment(1, MASTER, 20_000, server_times_ms=START_MS + 1), credit, payment(3, MASTER, -3_000, **late)]
        own, others = payment(4, MASTER, -1_000, transfer_ids=44, **late), payment(6, MASTER, -2_000, transfer_ids=66)
        await keep(house, deals(house, *paid, own, {**others, **late}))
        for source, transfer_id in (("fees", 44), ("operator", 66)):
            await tell(house, source, transfer_id)
            await tell(house, source, transfer_id)
        await look(house, server, lease, START_MS + 9, a64=121_250)
        found, currency = await get_statistics(house.engine, 1, owner, first_day=0, last_day=MONDAY)
        assert (found.deposit_sum_minor, found.withdrawal_sum_minor, currency) == (25_000, 5_000, "USD")
        # 100 000 → 121 250 with 20 000 from outside: 1 250 (2 250 earned, 1 000 paid as fee) on 120 000.
        assert found.time_weighted_return_e8 == 1_041_667

    async def test_a_share_of_profit_is_a_result_of_the_investor_and_leaves_the_master_as_a_flow(self, house, lease):
        master = await house.master()
        subscription = await house.follower(master, FOLLOWER)
        server = Server(house)
        await look(house, server, lease, START_MS, a64=100_000, a101=100_000)
        legs = (payment(1, MASTER, -2_250, transfer_ids=55), payment(2, FOLLOWER, 2_250, transfer_ids=55))
        await keep(house, deals(house, *({**leg, "server_times_ms": START_MS + 3} for leg in legs)))
        await tell(house, "allocation/profit", 55)
        await look(house, server, lease, START_MS + 9, a64=100_000, a101=102_250)
        owners = (Owner(master_id=master.master_id), Owner(subscription_id=subscription.subscription_id))
        of_master, of_investor = [
            (await get_statistics(house.engine, 1, owner, first_day=0, last_day=MONDAY))[0] for owner in owners
        ]
        assert (of_master.withdrawal_sum_minor, of_investor.deposit_sum_minor) == (2_250, 0)
        returns_e8 = (of_master.time_weighted_return_e8, of_investor.time_weighted_return_e8)
        assert returns_e8 == (2_250_000, 2_250_000), "he earned what he paid out"

    async def test_closing_deals_carry_their_part_of_the_entrys_costs(self, house, lease):
        master = await house.master()
        rows = [
            trade(1, MASTER, 900, 1, 1.0, commissions_minor=-100, swaps_minor=-20),
            trade(2, MASTER, 900, 2, -0.25, profits_minor=31),  # 31 − 30: won
            trade(3, MASTER, 900, 2, -0.75, profits_minor=100, commissions_minor=-10, swaps_minor=-5),  # 85 − 90: lost
            trade(4, MASTER, 901, 2, -1.0, profits_minor=40),  # entered before the history
            trade(5, MASTER, 902, 1, 1.0, commissions_minor=-1_000),  # still open
            trade(6, MASTER, 903, 4, -1.0, server_times_ms=START_MS + DAY_MS),  # neither won nor lost
        ]
        await keep(house, deals(house, *rows))
        owner = Owner(master_id=master.master_id)
        found, _ = await get_statistics(house.engine, 1, owner, first_day=0, last_day=MONDAY)
        assert (found.trades.closed_trade_count, found.trades.net_profit_minor) == (3, 36)
        assert (found.trades.win_rate_e8, found.trades.profit_factor_e8) == (66_666_667, 41 * E8 // 5)
        everything, _ = await get_statistics(house.engine, 1, owner, first_day=0, last_day=MONDAY + 1)
        assert (everything.trades.closed_trade_count, everything.trades.win_rate_e8) == (4, E8 // 2)

    async def test_a_subscription_begins_with_itself(self, house, lease):
        master = await house.master()
        await house.follower(master, FOLLOWER)
        server = Server(house)
        await look(house, server, lease, START_MS, a101=100_000)
        house.clock.advance(86_400)
        late = await house.master(account_id=65)
        subscription = await house.follower(late, FOLLOWER)
        await look(house, server, lease, START_MS + DAY_MS, a101=200_000)
        house.clock.advance(86_400)
        await look(house, server, lease, START_MS + 2 * DAY_MS, a101=220_000)
        owner = Owner(subscription_id=subscription.subscription_id)
        found, _ = await get_statistics(house.engine, 1, owner, first_day=0, last_day=MONDAY + 9)
        assert (found.first_server_day, found.time_weighted_return_e8) == (MONDAY + 1, 10_000_000)
        house.clock.advance(60)
        await house.end(subscription)
        house.clock.advance(86_400)
        await look(house, server, lease, START_MS + 3 * DAY_MS, a101=440_000)
        found, _ = await get_statistics(house.engine, 1, owner, first_day=0, last_day=MONDAY + 9)
        assert found.last_server_day == MONDAY + 2


class TestRetention:
    async def test_deals_and_equities_go_together_and_what_is_left_adds_up(self, house, lease):
        master = await house.master()
        server, owner = Server(house), Owner(master_id=master.master_id)
        for day in range(4):
            await look(house, server, lease, START_MS + day * DAY_MS, a64=100_000 + day * 50_000)
            paid = payment(day, MASTER, 50_000, server_times_ms=START_MS + day * DAY_MS + 1, transfer_ids=day)
            await keep(house, deals(house, paid, server_time_ms=START_MS + day * DAY_MS + 1))
        message = events_pb2.TransfersUpdated(source="fees")
        set_column(message, "transfer_ids", [1, 3])
        await keep(house, message)
        async with transaction(house.engine) as tx:
            for statement in (
                "UPDATE account_deals SET deal_time = now() - (3 - deal_ticket) * interval '100 days'",
                f"UPDATE equity_days SET first_time = now() - ({MONDAY} + 3 - server_day) * interval '100 days'",
                "UPDATE own_transfers SET recorded_time = now() - (3 - transfer_id) * interval '100 days'",
            ):
                await tx.execute(text(statement))
        settings = ServiceSettings(database_url="", insecure=True)
        await Purge(house.engine, settings, history_expiries(0)).purge()
        assert await history(house, owner) == [3, 2, 1, 0]
        await Purge(house.engine, settings, history_expiries(150)).purge()
        assert await history(house, owner) == [3, 2]
        days = await get_equity_curve(house.engine, 1, owner, first_day=0, last_day=MONDAY + 9, limit=10)
        assert days.server_days.tolist() == [MONDAY + 2, MONDAY + 3]
        found, _ = await get_statistics(house.engine, 1, owner, first_day=0, last_day=MONDAY + 9)
        assert (found.time_weighted_return_e8, found.deposit_sum_minor) == (0, 50_000)
        async with transaction(house.engine) as tx:
            assert list((await tx.execute(text("SELECT transfer_id FROM own_transfers"))).scalars()) == [3]
