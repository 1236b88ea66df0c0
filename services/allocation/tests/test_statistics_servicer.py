"""History and statistics through an in-process server, and each reason they refuse with."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from history_events import MONDAY, START_MS, deals, keep, payment, trade
from sqlalchemy import text

from apportion.allocation.domain.closed_trades import TradeFigures, TradeLedger
from apportion.allocation.domain.history import DAY_MS
from apportion.allocation.domain.leaderboard import LeaderboardFigures
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.domain.statistics import MonthlyReturn, Statistics
from apportion.allocation.servicers.allocations import AllocationsServicer
from apportion.allocation.servicers.statistics import StatisticsServicer
from apportion.allocation.storage.leaderboard import list_listed, save_figures, save_inputs
from apportion.api.allocation.v1 import (
    allocations_pb2,
    allocations_pb2_grpc,
    statistics_pb2,
    statistics_pb2_grpc,
)
from apportion.errors import InvalidArgument, NotFound, PageTokenInvalid
from apportion.money import E8
from apportion.rpc import call_options, column
from apportion.storage import transaction
from apportion.testing.polling import PATIENCE_SECONDS
from apportion.testing.servers import running_server

MONTHS = (MonthlyReturn(2026, 1, 15),)


class Client:
    """The two services as one caller sees them."""

    def __init__(self, channel) -> None:
        self._allocations = allocations_pb2_grpc.AllocationsServiceStub(channel)
        self._statistics = statistics_pb2_grpc.StatisticsServiceStub(channel)

    async def history(self, *, label=1, **fields) -> allocations_pb2.ListHistoryResponse:
        request = allocations_pb2.ListHistoryRequest(**fields)
        return await self._allocations.ListHistory(request, **call_options(label, PATIENCE_SECONDS))

    async def statistics(self, *, label=1, **fields) -> statistics_pb2.Statistics:
        request = statistics_pb2.GetStatisticsRequest(**fields)
        return (await self._statistics.GetStatistics(request, **call_options(label, PATIENCE_SECONDS))).statistics

    async def curve(self, *, label=1, **fields) -> statistics_pb2.GetEquityCurveResponse:
        request = statistics_pb2.GetEquityCurveRequest(**fields)
        return await self._statistics.GetEquityCurve(request, **call_options(label, PATIENCE_SECONDS))

    async def leaderboard(self, *, label=1, **fields) -> statistics_pb2.ListLeaderboardResponse:
        request = statistics_pb2.ListLeaderboardRequest(**fields)
        return await self._statistics.ListLeaderboard(request, **call_options(label, PATIENCE_SECONDS))


@pytest.fixture
async def client(house) -> AsyncIterator[Client]:
    def add(server) -> None:
        allocations = AllocationsServicer(house.engine, house.desk, house.clock)
        allocations_pb2_grpc.add_AllocationsServiceServicer_to_server(allocations, server)
        statistics_pb2_grpc.add_StatisticsServiceServicer_to_server(StatisticsServicer(house.engine), server)

    async with running_server(add) as channel:
        yield Client(channel)


@pytest.fixture
async def master_id(house) -> int:
    """A master whose account deposited, opened and closed; +10 % and −5 % on two days."""
    master = await house.master(AllocationMethod.COPY_BY_EQUITY)
    times = ({"server_times_ms": START_MS + DAY_MS + number} for number in (1, 2, 3))
    await keep(
        house,
        deals(
            house,
            payment(1, 64, 50_000, **next(times)),
            trade(2, 64, 900, 1, 1.0, **next(times)),
            trade(3, 64, 900, 2, -1.0, profits_minor=-8_000, **next(times)),
        ),
    )
    async with transaction(house.engine) as tx:
        for day, first, last in ((MONDAY, 100_000, 110_000), (MONDAY + 1, 110_000, 152_000)):
            await tx.execute(
                text("INSERT INTO equity_days VALUES (64, :day, 1, 1, :first, :ms, :now, 2, :last, :end, :now)"),
                {
                    "day": day,
                    "first": first,
                    "last": last,
                    "ms": day * DAY_MS,
                    "end": day * DAY_MS + 9,
                    "now": house.clock.now(),
                },
            )
    return master.master_id


class TestHistory:
    async def test_pages_newest_first(self, client, master_id):
        first = await client.history(master_id=master_id, page_size=2)
        assert [row.deal_ticket for row in first.rows] == [3, 2]
        second = await client.history(master_id=master_id, page_size=2, page_token=first.next_page_token)
        (deposit,) = second.rows
        assert second.next_page_token == ""
        assert (deposit.entry, deposit.profit_minor, deposit.symbol) == (
            allocations_pb2.HISTORY_ENTRY_UNSPECIFIED,
            50_000,
            "",
        )
        closed = first.rows[0]
        assert (closed.entry, closed.volume_e8, closed.profit_minor, closed.symbol, closed.position_ticket) == (
            allocations_pb2.HISTORY_ENTRY_OUT,
            -E8,
            -8_000,
            "EURUSD",
            900,
        )

    async def test_times_and_entries(self, client, master_id):
        found = await client.history(
            master_id=master_id,
            start_server_time_ms=START_MS + DAY_MS + 2,
            end_server_time_ms=START_MS + DAY_MS + 3,
            entries=[allocations_pb2.HISTORY_ENTRY_IN, allocations_pb2.HISTORY_ENTRY_OUT],
        )
        assert [row.deal_ticket for row in found.rows] == [2]

    async def test_pages_stay_while_deals_arrive(self, house, client, master_id):
        """What is new stands where it belongs; nothing that was there is shown twice or left out."""

        async def arrive(*places: tuple[int, int]) -> None:
            rows = [trade(ticket, 64, 901, 1, 1.0, server_times_ms=START_MS + ms) for ticket, ms in places]
            await keep(house, deals(house, *rows))

        await arrive(*((10 + number, number // 3) for number in range(9)))  # three in each millisecond
        found, token, late = [], "", [((50, 9), (49, 2)), ((48, 1), (47, 0)), ((46, 2),)]
        while True:
            page = await client.history(
                master_id=master_id, end_server_time_ms=START_MS + 10, page_size=3, page_token=token
            )
            found += [row.deal_ticket for row in page.rows]
            token = page.next_page_token
            if not token:
                break
            await arrive(*late.pop(0))
        assert found == [18, 17, 16, 15, 14, 13, 47, 12, 11, 10]

    async def test_a_day_is_the_servers(self, house, client, master_id):
        """The server is three hours ahead: its midnight is 21:00 UTC, and nothing here knows the zone."""
        midnight = START_MS + 10 * DAY_MS
        rows = [
            trade(20, 64, 902, 1, 1.0, server_times_ms=midnight - 1),
            trade(21, 64, 902, 3, -3.0, server_times_ms=midnight),
            trade(22, 64, 902, 4, 1.0, server_times_ms=midnight + DAY_MS - 1),
            trade(23, 64, 902, 2, 1.0, server_times_ms=midnight + DAY_MS),
        ]
        await keep(house, deals(house, *rows, server_time_ms=midnight + DAY_MS))
        span = {"start_server_time_ms": midnight, "end_server_time_ms": midnight + DAY_MS}
        day = await client.history(master_id=master_id, **span)
        assert [(row.deal_ticket, row.entry) for row in day.rows] == [
            (22, allocations_pb2.HISTORY_ENTRY_OUT_BY),
            (21, allocations_pb2.HISTORY_ENTRY_IN_OUT),
        ]
        turned = await client.history(master_id=master_id, entries=[allocations_pb2.HISTORY_ENTRY_IN_OUT], **span)
        assert [row.deal_ticket for row in turned.rows] == [21]
        empty = {"start_server_time_ms": midnight, "end_server_time_ms": midnight}
        assert not (await client.history(master_id=master_id, **empty)).rows

    @pytest.mark.parametrize(
        "fields",
        [
            {"master_id": 0},
            {"subscription_id": -1},
            {"start_server_time_ms": -1},
            {"end_server_time_ms": -1},
            {"entries": [9]},
            {"page_size": -1},
        ],
    )
    async def test_bad_fields(self, client, master_id, fields):
        with pytest.raises(InvalidArgument):
            await client.history(**{"master_id": master_id, **fields})

    async def test_without_an_owner(self, client):
        with pytest.raises(InvalidArgument):
            await client.history()

    async def test_a_token_is_good_for_its_own_query(self, client, master_id):
        token = (await client.history(master_id=master_id, page_size=1)).next_page_token
        with pytest.raises(PageTokenInvalid):
            await client.history(subscription_id=master_id, page_token=token)

    @pytest.mark.parametrize(
        "owner", [{"master_id": 987}, {"subscription_id": 987}, {"label": 2, "master_id": 1}], ids=str
    )
    async def test_what_the_label_does_not_have(self, client, master_id, owner):
        for ask in (client.history, client.statistics, client.curve):
            with pytest.raises(NotFound):
                await ask(**owner)


class TestStatistics:
    async def test_of_all_days(self, client, master_id):
        found = await client.statistics(master_id=master_id)
        assert (found.first_server_day, found.last_server_day, found.currency_code) == (MONDAY, MONDAY + 1, "USD")
        assert (found.time_weighted_return_e8, found.max_drawdown_e8) == (4_500_000, 5_000_000)
        assert (found.deposit_sum_minor, found.withdrawal_sum_minor, found.equity_minor) == (50_000, 0, 152_000)
        assert (found.closed_trade_count, found.win_rate_e8, found.profit_factor_e8) == (1, 0, 0)
        assert found.HasField("sharpe_e8")
        assert [(month.year, month.month) for month in found.monthly_returns] == [(2026, 1)]

    async def test_of_some_days(self, client, master_id):
        found = await client.statistics(master_id=master_id, first_server_day=MONDAY + 1, last_server_day=MONDAY + 1)
        assert (found.first_server_day, found.time_weighted_return_e8) == (MONDAY + 1, -5_000_000)
        assert not found.HasField("sharpe_e8")

    async def test_before_the_first_equity_all_is_0(self, client, house):
        master = await house.master()
        subscription = await house.follower(master, 101)
        found = await client.statistics(subscription_id=subscription.subscription_id)
        assert found == statistics_pb2.Statistics(currency_code="USD")

    async def test_the_curve(self, client, master_id):
        found = await client.curve(master_id=master_id)
        assert column(found.server_days).tolist() == [MONDAY, MONDAY + 1]
        assert column(found.balances_minor).tolist() == [2, 2]
        assert column(found.equities_minor).tolist() == [110_000, 152_000]
        assert column(found.flows_minor).tolist() == [0, 50_000]
        assert column(found.indexes_e8).tolist() == [110_000_000, 104_500_000]

    @pytest.mark.parametrize("fields", [{}, {"master_id": 0}, {"master_id": 1, "first_server_day": -1}], ids=str)
    async def test_bad_fields(self, client, fields):
        for ask in (client.statistics, client.curve):
            with pytest.raises(InvalidArgument):
                await ask(**fields)


class TestLeaderboard:
    @pytest.fixture
    async def masters(self, house) -> list[int]:
        found = [await house.master(AllocationMethod.COPY_BY_EQUITY, account_id=64 + number) for number in range(3)]
        trades = TradeFigures(10, 5, 4, 18, 7, 11, 8, 9, 1, None, 2, 6, -3, 3_600)
        async with transaction(house.engine) as tx:
            listed = await list_listed(tx, after=0, limit=10)
            await save_inputs(tx, [(master, TradeLedger().closed_trades()) for master in listed])
            for number, master in enumerate(found):
                statistics = Statistics(1, 2, number * E8, 4, 5, 6, None, 7, 11, 8, 137, 12, 13, 14, MONTHS, trades)
                await save_figures(tx, [LeaderboardFigures(master.master_id, 0, 2, statistics)], now=house.clock.now())
            await tx.execute(text("UPDATE leaderboard_inputs SET followers_equity_minor = 77"))
        return [master.master_id for master in found]

    async def test_pages_the_best_first(self, client, masters):
        first = await client.leaderboard(page_size=2)
        second = await client.leaderboard(page_size=2, page_token=first.next_page_token)
        assert [row.master_id for row in (*first.rows, *second.rows)] == masters[::-1]
        assert second.next_page_token == ""
        best = first.rows[0]
        assert (best.name, best.account_type, best.followers_equity_minor) == ("Master 66", 1, 77)
        assert (best.statistics.time_weighted_return_e8, best.statistics.currency_code) == (2 * E8, "USD")
        assert (best.statistics.sharpe_e8, best.statistics.HasField("sortino_e8")) == (6, False)
        assert best.statistics.monthly_returns[0].return_e8 == 15
        assert (best.statistics.won_trade_count, best.statistics.lost_trade_count) == (5, 4)
        assert (best.statistics.gross_profit_minor, best.statistics.gross_loss_minor) == (18, 7)
        assert (best.statistics.average_trade_minor, best.statistics.HasField("average_win_minor")) == (1, False)
        assert (best.statistics.best_trade_minor, best.statistics.worst_trade_minor) == (6, -3)
        assert (best.statistics.average_loss_minor, best.statistics.average_holding_seconds) == (2, 3_600)
        assert (best.statistics.gain_minor, best.statistics.max_drawdown_minor) == (11, 8)
        assert (best.statistics.recovery_factor_e8, best.statistics.volatility_e8) == (137, 7)
        assert best.age_day_count == 2

    @pytest.mark.parametrize("order", statistics_pb2.LeaderboardOrder.values())
    async def test_pages_of_every_order_follow_one_another(self, house, client, masters, order):
        async with transaction(house.engine) as tx:
            await tx.execute(text("UPDATE leaderboard_rows SET sharpe_e8 = NULL WHERE return_e8 > 0"))
        everything = [row.master_id for row in (await client.leaderboard(order=order)).rows]
        found, token = [], ""
        for _ in masters:
            page = await client.leaderboard(order=order, page_size=1, page_token=token)
            found += [row.master_id for row in page.rows]
            token = page.next_page_token
        assert (found, token) == (everything, "")

    async def test_filters(self, client, masters):
        found = await client.leaderboard(min_return_e8=E8, account_type=1, currency_code="USD")
        assert [row.master_id for row in found.rows] == masters[:0:-1]
        assert not (await client.leaderboard(label=2)).rows
        assert not (await client.leaderboard(day_count=7)).rows

    @pytest.mark.parametrize(
        "fields",
        [
            {"day_count": 8},
            {"order": 9},
            {"account_type": 9},
            {"max_drawdown_e8": -1},
            {"min_day_count": -1},
            {"page_size": -1},
        ],
    )
    async def test_bad_fields(self, client, fields):
        with pytest.raises(InvalidArgument):
            await client.leaderboard(**fields)

    async def test_a_token_is_good_for_its_own_query(self, client, masters):
        token = (await client.leaderboard(page_size=1)).next_page_token
        with pytest.raises(PageTokenInvalid):
            await client.leaderboard(page_token=token, order=statistics_pb2.LEADERBOARD_ORDER_SHARPE)
