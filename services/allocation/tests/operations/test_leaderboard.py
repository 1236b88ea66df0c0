"""The leaderboard: orders, filters, and what is computed again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from history_events import MONDAY, START_MS, Server, deals, keep, look, payment, trade
from sqlalchemy import text

from apportion.allocation.domain.history import DAY_MS, HistoryScope
from apportion.allocation.domain.leaderboard import LeaderboardFilter, LeaderboardOrder
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.operations.find_scope import Owner
from apportion.allocation.operations.get_statistics import get_statistics
from apportion.allocation.operations.list_leaderboard import list_leaderboard
from apportion.allocation.operations.load_closed_trades import load_closed_trades
from apportion.allocation.operations.refresh_leaderboard import refresh_leaderboard
from apportion.api.platform_groups.v1 import events_pb2
from apportion.money import INT64_MAX
from apportion.rpc import set_column
from apportion.storage import transaction
from apportion.storage.leases import LeaseKeeper


@pytest.fixture
async def lease(house):
    keeper = LeaseKeeper(house.engine, "statistics", ["all"], "test", clock=house.clock)
    await keeper.refresh()
    yield keeper.held["all"]
    await keeper.release_all()


@pytest.fixture
async def masters(house, lease):
    """Three that may be seen and a hidden one: +10 % in 8 days with a fall, +5 % in 3 days, nothing known yet."""
    method = AllocationMethod.COPY_BY_EQUITY
    found = [await house.master(method, account_id=64 + number) for number in range(3)]
    found.append(await house.master(account_id=70, listed_on_leaderboard=False))
    server = Server(house)
    for day, equity in enumerate([100_000, 120_000, 90_000, 95_000, 100_000, 100_000, 100_000, 110_000]):
        house.states.equities_minor = {64: equity, 70: equity * 9}
        if day >= 5:
            house.states.equities_minor[65] = 100_000 + 2_500 * (day - 5)
        await look(house, server, lease, START_MS + day * DAY_MS)
    await house.follower(found[0], 201)
    for account_id in (202, 203):
        await house.follower(found[1], account_id)
    await look(house, server, lease, START_MS + 8 * DAY_MS - 1, a201=500_000, a202=1_000, a203=2_000)
    await refresh_leaderboard(house.engine, lease, now=datetime(2026, 1, 13, tzinfo=UTC))
    return [master.master_id for master in found]


async def names_of(house, order=LeaderboardOrder.RETURN, *, label=1, limit=10, after=(INT64_MAX, 0), **filters):
    found = await list_leaderboard(house.engine, label, order, LeaderboardFilter(**filters), after=after, limit=limit)
    return [row.name.removeprefix("Master ") for row in found]


@pytest.mark.parametrize(
    ("order", "names"),
    [
        (LeaderboardOrder.RETURN, ["64", "65", "66"]),
        (LeaderboardOrder.DRAWDOWN, ["65", "66", "64"]),
        (LeaderboardOrder.SHARPE, ["65", "64", "66"]),
        (LeaderboardOrder.FOLLOWERS, ["65", "64", "66"]),
        (LeaderboardOrder.FOLLOWERS_EQUITY, ["64", "65", "66"]),
    ],
)
async def test_orders(house, masters, order, names):
    assert await names_of(house, order) == names
    first, second, third = await list_leaderboard(
        house.engine, 1, order, LeaderboardFilter(), after=(INT64_MAX, 0), limit=10
    )
    assert await names_of(house, order, after=(first.sort_key, first.master_id), limit=1) == [names[1]]
    assert await names_of(house, order, after=(third.sort_key, third.master_id)) == []
    assert second.sort_key <= first.sort_key


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"min_return_e8": 6_000_000}, ["64"]),
        ({"max_drawdown_e8": 20_000_000}, ["65", "66"]),
        ({"min_day_count": 3}, ["64", "65"]),
        ({"min_day_count": 4}, ["64"]),
        ({"currency_code": "EUR"}, []),
        ({"currency_code": "USD"}, ["64", "65", "66"]),
        ({"account_type": 3}, []),
        ({"account_type": 1, "day_count": 7}, ["64", "65", "66"]),
        ({"label": 2}, []),
    ],
)
async def test_filters(house, masters, filters, names):
    assert await names_of(house, **filters) == names


async def test_a_row(house, masters):
    row, *_ = await list_leaderboard(
        house.engine, 1, LeaderboardOrder.RETURN, LeaderboardFilter(), after=(INT64_MAX, 0), limit=1
    )
    assert (row.master_id, row.active_subscription_count, row.followers_equity_minor) == (masters[0], 1, 500_000)
    assert (row.statistics.time_weighted_return_e8, row.statistics.max_drawdown_e8) == (10_000_000, 25_000_000)
    week, *_ = await list_leaderboard(
        house.engine, 1, LeaderboardOrder.RETURN, LeaderboardFilter(7), after=(INT64_MAX, 0), limit=1
    )
    assert (week.statistics.first_server_day, week.statistics.last_server_day) == (MONDAY + 1, MONDAY + 7)
    assert (row.statistics.first_server_day, row.statistics.last_server_day) == (MONDAY, MONDAY + 7)


async def test_who_hides_is_gone_at_once_and_figures_are_replaced(house, masters, lease):
    async with transaction(house.engine) as tx:
        await tx.execute(text("UPDATE masters SET listed_on_leaderboard = (account_id <> 64)"))
    assert await names_of(house) == ["65", "66"]
    await refresh_leaderboard(house.engine, lease, now=house.clock.now() + timedelta(days=10))
    assert await names_of(house) == ["70", "65", "66"]


async def test_only_what_changed_is_computed_again(house, masters, lease):
    async def computed_at(now: datetime) -> list[int]:
        """The accounts whose figures a round at this time has written."""
        await refresh_leaderboard(house.engine, lease, now=now)
        async with transaction(house.engine) as tx:
            query = text(
                "SELECT DISTINCT m.account_id FROM leaderboard_rows AS r JOIN masters AS m USING (master_id)"
                " WHERE r.compute_time = :now ORDER BY m.account_id"
            )
            return list((await tx.execute(query, {"now": now})).scalars())

    times = (datetime(2026, 1, 14, minute, tzinfo=UTC) for minute in range(9))
    assert await computed_at(next(times)) == []
    late = {"server_times_ms": START_MS + 8 * DAY_MS - 1}
    await keep(house, deals(house, trade(1, 64, 900, 2, -1.0, profits_minor=77, **late)))
    assert await computed_at(next(times)) == [64]
    await keep(house, deals(house, trade(1, 64, 900, 2, -1.0, profits_minor=77, **late)))
    assert await computed_at(next(times)) == []  # known already
    await keep(house, deals(house, payment(2, 65, -5, transfer_ids=44, **late)))
    assert await computed_at(next(times)) == [65]
    message = events_pb2.TransfersUpdated(source="fees")
    set_column(message, "transfer_ids", [44])
    await keep(house, message)
    assert await computed_at(next(times)) == [65]  # no withdrawal but a cost
    await keep(house, deals(house, trade(3, 201, 5_000, 2, -1.0)))
    assert await computed_at(next(times)) == []  # a follower's
    server = Server(house)
    await look(house, server, lease, START_MS + 8 * DAY_MS - 1, a65=105_000, a201=9)
    house.clock.advance(1)
    house.states.equities_minor = {65: 106_000, 201: 9}
    await look(house, server, lease, START_MS + 8 * DAY_MS - 1)
    assert await computed_at(next(times)) == [65]
    row, *_ = await list_leaderboard(
        house.engine, 1, LeaderboardOrder.FOLLOWERS_EQUITY, LeaderboardFilter(), after=(INT64_MAX, 0), limit=9
    )
    assert row.followers_equity_minor == 3_000  # of 65: the sum of 64's is 9 now
    await look(house, server, lease, START_MS + 8 * DAY_MS, a65=106_000)
    assert await computed_at(next(times)) == [65]  # a new day


async def test_followers_are_summed_up_in_groups(house, masters, lease, monkeypatch):
    async def sums() -> list[int]:
        order = LeaderboardOrder.FOLLOWERS_EQUITY
        rows = await list_leaderboard(house.engine, 1, order, LeaderboardFilter(), after=(INT64_MAX, 0), limit=9)
        return [row.followers_equity_minor for row in rows]

    assert await sums() == [500_000, 3_000, 0]
    async with transaction(house.engine) as tx:
        await tx.execute(text("UPDATE equity_days SET last_equity_minor = 2 * last_equity_minor"))
    for most in (0, 2, 3):
        monkeypatch.setattr("apportion.allocation.operations.refresh_leaderboard.STATEMENT_FOLLOWERS", most)
        async with transaction(house.engine) as tx:
            await tx.execute(text("UPDATE leaderboard_inputs SET followers_equity_minor = 7"))
        await refresh_leaderboard(house.engine, lease, now=house.clock.now())
        assert await sums() == [1_000_000, 6_000, 0]


async def test_figures_computed_bit_by_bit_are_those_of_one_owner(house, masters, lease):
    for number in range(1, 8):
        rows = [trade(2 * number, 64, number, 1, 1.0), trade(2 * number + 1, 64, number, 2, -1.0)]
        rows[1] |= {"profits_minor": 10 * number - 35, "server_times_ms": START_MS + number * DAY_MS}
        await keep(house, deals(house, *rows, payment(100 + number, 64, 5, server_times_ms=START_MS + 9)))
        await refresh_leaderboard(house.engine, lease, now=house.clock.now())
    everything, *_ = await list_leaderboard(
        house.engine, 1, LeaderboardOrder.RETURN, LeaderboardFilter(), after=(INT64_MAX, 0), limit=1
    )
    found, _ = await get_statistics(house.engine, 1, Owner(master_id=masters[0]), first_day=0, last_day=MONDAY + 9)
    assert everything.statistics == found
    assert found.trades.closed_trade_count == 7


async def test_the_deals_of_many_are_read_page_by_page(house, masters, lease, monkeypatch):
    rows = [trade(n, 64 + n % 3, 900 + n // 6, 1 + n // 3 % 2, 1.0, commissions_minor=-n) for n in range(1, 60)]
    await keep(house, deals(house, *rows))
    scopes = [HistoryScope(account_id, "USD") for account_id in (64, 65, 66, 67)]
    async with transaction(house.engine) as tx:
        whole = await load_closed_trades(tx, scopes)
        monkeypatch.setattr("apportion.allocation.operations.load_closed_trades.STATEMENT_ROWS", 4)
        monkeypatch.setattr("apportion.allocation.operations.load_closed_trades.LEAST_ROWS", 1)
        parts = await load_closed_trades(tx, scopes)
    assert [[c.tolist() for c in of.columns] for of in parts] == [[c.tolist() for c in of.columns] for of in whole]
    assert [int(of.counts.sum()) for of in whole][:3] != [0, 0, 0]
