"""The ports over a real wire: what is kept, what is asked again, what an outage does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from apportion.allocation.adapters.account_states import LiveStates
from apportion.allocation.adapters.platform_groups import (
    PlatformAccounts,
    PlatformFacts,
    PlatformOrders,
    PlatformPositions,
)
from apportion.allocation.adapters.rates import WeatherRates
from apportion.allocation.adapters.symbols import PlatformSymbols
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.symbols import SymbolSpec
from apportion.allocation.errors import AccountNotOpen, PositionsTooMany, SymbolUnknown
from apportion.allocation.operations.dispatch_allocation import dispatch_allocation
from apportion.api.platform_groups.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    deals_pb2,
    deals_pb2_grpc,
    events_pb2,
    trading_pb2,
    trading_pb2_grpc,
    trading_servers_pb2,
    trading_servers_pb2_grpc,
)
from apportion.errors import UpstreamUnavailable
from apportion.events import Redis, publish_weather
from apportion.events.weather import ticks_key
from apportion.money import E8
from apportion.rpc import set_column, to_timestamp
from apportion.runtime import Background
from apportion.testing.polling import eventually
from apportion.testing.servers import running_server

EURUSD = SymbolSpec("EURUSD", SymbolGrid(1, 2, 3), 5, 100_000 * E8, "EUR", "USD", "EUR")


class Servers(trading_servers_pb2_grpc.TradingServersServiceServicer):
    def __init__(self) -> None:
        self.asked: list[str] = []
        self.is_down = False
        self.min_volume_e8 = 2

    async def RegisterTradingServer(self, request, context): ...

    async def GetTradingServer(self, request, context): ...

    async def ListTradingServers(self, request, context): ...

    async def ListSymbols(self, request, context):
        self.asked.append(list(request.names))
        if self.is_down:
            raise UpstreamUnavailable(service="the trading server")
        symbol = trading_servers_pb2.Symbol(
            name="EURUSD",
            volume_step_e8=1,
            min_volume_e8=self.min_volume_e8,
            max_volume_e8=3,
            digits=5,
            contract_size_e8=100_000 * E8,
            base_currency_code="EUR",
            profit_currency_code="USD",
            margin_currency_code="EUR",
        )
        if request.names:
            return trading_servers_pb2.ListSymbolsResponse(
                symbols=[symbol for name in request.names if name == symbol.name]
            )
        if not request.page_token:
            return trading_servers_pb2.ListSymbolsResponse(symbols=[symbol], next_page_token="more")
        other = trading_servers_pb2.Symbol(name="GBPUSD", volume_step_e8=1, min_volume_e8=1, max_volume_e8=1)
        return trading_servers_pb2.ListSymbolsResponse(symbols=[other])


class Accounts(accounts_pb2_grpc.AccountsServiceServicer):
    """Its other methods are not called."""

    def __init__(self) -> None:
        self.states: list[accounts_pb2.GetAccountStatesResponse] = []
        self.asked: list[int] = []
        for name in vars(accounts_pb2_grpc.AccountsServiceServicer):
            if not name.startswith("_"):
                setattr(self, name, self._states if name == "GetAccountStates" else self._get)

    async def _states(self, request, context):
        self.asked.append(request.after_account_id)
        if not self.states:
            raise AccountNotOpen(account_id=1)
        return self.states[request.after_account_id]

    async def _get(self, request, context):
        mode = request.account_id  # the number of a margin mode
        account = accounts_pb2.Account(
            account_id=mode,
            kind=accounts_pb2.ACCOUNT_KIND_INVESTMENT,
            state=accounts_pb2.ACCOUNT_STATE_OPEN,
            currency_code="JPY",
            currency_digits=None if mode == 1 else 2,
            margin_mode=mode,
        )
        return accounts_pb2.GetAccountResponse(account=account)


async def test_an_account_tells_whether_it_nets():
    def add(server) -> None:
        accounts_pb2_grpc.add_AccountsServiceServicer_to_server(Accounts(), server)

    async with running_server(add) as channel:
        accounts = PlatformAccounts(channel, 2.0)
        assert [(await accounts.account(1, mode)).nets for mode in (1, 2)] == [False, True]


async def test_an_account_tells_its_digits_and_only_where_it_does_not_they_are_those_of_iso_4217():
    def add(server) -> None:
        accounts_pb2_grpc.add_AccountsServiceServicer_to_server(Accounts(), server)

    async with running_server(add) as channel:
        accounts = PlatformAccounts(channel, 2.0)
        assert [(await accounts.account(1, mode)).currency_digits for mode in (1, 2)] == [0, 2]


class TestSymbols:
    @pytest.fixture
    async def symbols(self):
        servers = Servers()

        def add(server) -> None:
            trading_servers_pb2_grpc.add_TradingServersServiceServicer_to_server(servers, server)

        async with running_server(add) as channel:
            yield PlatformSymbols(channel, 2.0, refresh_seconds=0.01), servers

    async def test_a_symbol_is_asked_once_and_then_at_hand(self, symbols):
        port, servers = symbols
        with pytest.raises(UpstreamUnavailable):
            port.spec_at_hand(1, 7, "EURUSD")
        for _ in range(3):
            assert (await port.spec(1, 7, "EURUSD")).grid == SymbolGrid(1, 2, 3)
        assert port.spec_at_hand(1, 7, "EURUSD") == EURUSD
        assert port.at_hand(1, 7).keys() == {"EURUSD", "GBPUSD"}
        assert servers.asked == [[], []], "the whole server at once, in pages"

    async def test_known_symbols_are_kept_fresh_behind_the_decisions(self, symbols):
        port, servers = symbols
        await port.spec(1, 7, "EURUSD")
        async with Background() as background:
            background.spawn("symbols", port.run)
            servers.min_volume_e8 = 20
            await eventually(lambda: port.spec_at_hand(1, 7, "EURUSD").grid == SymbolGrid(1, 20, 3))

    async def test_an_unknown_symbol_is_remembered_until_the_next_look(self, symbols):
        port, servers = symbols
        for _ in range(2):
            with pytest.raises(SymbolUnknown):
                await port.spec(1, 7, "XAUUSD")
        with pytest.raises(SymbolUnknown):
            port.spec_at_hand(1, 7, "XAUUSD")
        assert servers.asked == [[], [], ["XAUUSD"]]
        await port.refresh()
        assert servers.asked[3:] == [[], []], "a name that somebody made up is not asked for ever"
        with pytest.raises(UpstreamUnavailable):
            port.spec_at_hand(1, 7, "XAUUSD")

    async def test_in_an_outage_what_is_known_serves_and_a_new_symbol_is_waited_for(self, symbols):
        port, servers = symbols
        await port.spec(1, 7, "EURUSD")
        servers.is_down = True
        await port.refresh()
        assert port.spec_at_hand(1, 7, "EURUSD") == EURUSD
        with pytest.raises(UpstreamUnavailable):
            await port.spec(1, 8, "EURUSD")


async def test_a_deal_on_an_unseen_symbol_is_asked_for_before_masters_are_locked(house):
    """A server that is slow to answer must not keep a master from being halted."""
    master = await house.master()
    await house.follower(master, 101)
    house.symbols.refusals = [UpstreamUnavailable(service="platform-groups")]
    with pytest.raises(UpstreamUnavailable):
        await house.deal(64, 1.0, position=900)
    assert house.waiting == []
    await house.deal(64, 1.0, position=901)
    assert house.symbols.asked == ["EURUSD"] * 2, "once by each preparation, never by a handler"
    assert len(house.waiting) == 1


class TestRates:
    async def test_by_ticks_and_the_currencies_of_symbols(self, house, redis_url):
        redis = Redis(redis_url)
        async with Background() as background:
            rates = WeatherRates(redis, background, house.symbols)
            assert await rates.conversion_e8(1, 7, "USD", "USD") == E8
            assert await rates.conversion_e8(1, 7, "EUR", "USD") == 0
            ticks = events_pb2.Ticks(trading_server_id=7, symbols=["EURUSD", "UNKNOWN"])
            set_column(ticks, "bids_e8", [124_000_000, 1])
            set_column(ticks, "asks_e8", [126_000_000, 1])
            await publish_weather(redis, ticks_key(7), ticks.SerializeToString(), 1)
            assert await rates.conversion_e8(1, 7, "EUR", "USD") == 125_000_000
            assert await rates.conversion_e8(1, 7, "USD", "EUR") == 80_000_000
            assert await rates.conversion_e8(1, 7, "USD", "CHF") == 0
        await redis.close()


def account_states(time, account_ids, equities):
    message = events_pb2.AccountStates(trading_server_id=7, observed_time=to_timestamp(time))
    set_column(message, "account_ids", account_ids)
    set_column(message, "equities_minor", equities)
    return message


async def publish(redis, clock, version, account_ids, equities) -> None:
    message = account_states(clock.now(), account_ids, equities)
    await publish_weather(redis, "weather:accounts:7", message.SerializeToString(), version)


@pytest.fixture
async def platform():
    """platform-groups' accounts, and a channel to it."""
    accounts = Accounts()

    def add(server) -> None:
        accounts_pb2_grpc.add_AccountsServiceServicer_to_server(accounts, server)

    async with running_server(add) as channel:
        yield accounts, channel


class TestStates:
    async def test_the_newest_snapshot_is_parsed_once_and_keeps_unchanged_ids(self, redis_url, clock, platform):
        redis = Redis(redis_url)
        async with Background() as background:
            states = LiveStates(redis, background, platform[1], 2.0)
            assert await states.newest(7) is None
            await publish(redis, clock, 1, [1, 2], [10, 20])
            first = await states.newest(7)
            assert first.equities_minor.tolist() == [10, 20]
            assert await states.newest(7) is first
            await publish(redis, clock, 2, [1, 2], [11, 21])

            async def newer():
                found = await states.newest(7)
                return found if found is not first else None

            second = await eventually(newer)
            assert second.equities_minor.tolist() == [11, 21]
            assert second.account_ids is first.account_ids
        await redis.close()

    async def test_without_redis_it_is_known_what_was_asked(self, clock, platform):
        accounts, channel = platform
        async with Background() as background:
            states = LiveStates(Redis("redis://127.0.0.1:1"), background, channel, 2.0)
            assert await states.newest(7) is None
            now = clock.now()
            accounts.states = [
                accounts_pb2.GetAccountStatesResponse(states=account_states(now, [1], [10]), next_after_account_id=1),
                accounts_pb2.GetAccountStatesResponse(states=account_states(now + timedelta(1), [2], [20])),
            ]
            await asyncio.gather(states.ask(1, 7), states.ask(1, 7))
            found = await states.newest(7)
            assert (found.account_ids.tolist(), found.equities_minor.tolist()) == ([1, 2], [10, 20])
            assert found.observed_time == now, "as old as its oldest part"
            assert accounts.asked == [0, 1], "once for both who wanted to know"

    async def test_what_nobody_answers_changes_nothing(self, clock, platform, redis_url):
        accounts, channel = platform
        redis = Redis(redis_url)
        async with Background() as background:
            states = LiveStates(redis, background, channel, 2.0)
            await publish(redis, clock, 1, [1], [10])
            await states.ask(1, 7)
            await states.ask(1, 7)
            assert accounts.asked == [0], "asked no more than once a second"
            assert (await states.newest(7)).equities_minor.tolist() == [10]
        await redis.close()


async def test_two_workers_that_send_one_decision_send_the_same_orders(house):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (allocation,) = house.waiting
    await asyncio.gather(
        *(
            dispatch_allocation(
                house.engine,
                house.orders,
                1,
                allocation.allocation_id,
                retries=house.desk.limits.retries,
                clock=house.clock,
            )
            for _ in range(4)
        )
    )
    assert {batch.request_id for batch in house.orders.batches} == {house.orders.batches[0].request_id}
    assert {tuple(batch.item_ids.tolist()) for batch in house.orders.batches} == {(allocation.allocation_id << 20,)}
    assert {batch.volumes_e8.tolist()[0] for batch in house.orders.batches} == {E8}


class Trading(trading_pb2_grpc.TradingServiceServicer):
    """Answers for account 101; 102 has been closed, 200 on have more positions each than half a message holds."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    async def BatchGetPositions(self, request, context):
        self.asked.append(list(request.account_ids))
        if min(request.account_ids) >= 200:
            return self._crowd(request)
        assert request.leave_out_closed
        positions = trading_pb2.PositionColumns(symbols=["EURUSD", "GBPUSD"])
        for name, values in {
            "account_ids": [101, 101],
            "position_tickets": [5_000, 8_000],
            "symbol_indexes": [1, 0],
            "volumes_e8": [E8, -E8],
            "open_prices_e8": [2 * E8, 3 * E8],
            "order_ids": [9, 0],
            "profits_minor": [5, -7],
            "swaps_minor": [1, 0],
        }.items():
            set_column(positions, name, values)
        observed = to_timestamp(datetime(2026, 1, 5, tzinfo=UTC))
        left = [account_id for account_id in request.account_ids if account_id == 102]
        return trading_pb2.BatchGetPositionsResponse(positions=positions, observed_time=observed, left_account_ids=left)

    def _crowd(self, request) -> trading_pb2.BatchGetPositionsResponse:
        account_ids = np.repeat(
            np.array(request.account_ids), [14_000 if a == 299 else 8_000 for a in request.account_ids]
        )
        positions = trading_pb2.PositionColumns(symbols=["EURUSD"])
        for field in trading_pb2.PositionColumns.DESCRIPTOR.fields:
            if field.name != "symbols":
                set_column(positions, field.name, account_ids if field.name == "account_ids" else account_ids * 0)
        observed = datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=len(self.asked))
        return trading_pb2.BatchGetPositionsResponse(positions=positions, observed_time=to_timestamp(observed))

    async def ListOrders(self, request, context):
        """Two pages."""
        orders = trading_pb2.OrderColumns(item_ids=[1 if not request.page_token else 2])
        return trading_pb2.ListOrdersResponse(orders=orders, next_page_token="" if request.page_token else "more")


def add_trading(trading: Trading):
    """A server has all methods of a service."""

    def add(server) -> None:
        for name in vars(trading_pb2_grpc.TradingServiceServicer):
            if not name.startswith("_") and name not in vars(Trading):
                setattr(trading, name, trading.BatchGetPositions)
        trading_pb2_grpc.add_TradingServiceServicer_to_server(trading, server)

    return add


class Halting(trading_pb2_grpc.TradingServiceServicer):
    """Keeps what it was sent. Its other methods are not called."""

    def __init__(self) -> None:
        self.submitted: list[trading_pb2.SubmitOrdersRequest] = []
        self.voided: list[trading_pb2.VoidOpensRequest] = []
        for name in vars(trading_pb2_grpc.TradingServiceServicer):
            if not name.startswith("_") and name not in vars(Halting):
                setattr(self, name, self.SubmitOrders)

    async def SubmitOrders(self, request, context):
        self.submitted.append(request)
        return trading_pb2.SubmitOrdersResponse()

    async def VoidOpens(self, request, context):
        self.voided.append(request)
        return trading_pb2.VoidOpensResponse()


async def test_orders_carry_the_epoch_of_their_decision_and_a_halt_tells_the_next(house):
    halting = Halting()
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (allocation,) = house.waiting
    async with running_server(
        lambda server: trading_pb2_grpc.add_TradingServiceServicer_to_server(halting, server)
    ) as channel:
        orders = PlatformOrders(channel, 2.0)
        await dispatch_allocation(
            house.engine, orders, 1, allocation.allocation_id, retries=house.desk.limits.retries, clock=house.clock
        )
        for _ in range(2):
            await orders.void_opens(1, master.account_id, 1)
    (submitted,) = halting.submitted
    assert (submitted.ordering_key, submitted.halt_epoch, submitted.HasField("halt_epoch")) == (
        master.account_id,
        0,
        True,
    )
    assert [(voided.ordering_key, voided.halt_epoch) for voided in halting.voided] == [(master.account_id, 1)] * 2
    assert len({voided.request_id for voided in halting.voided}) == 1


async def test_positions_come_as_columns_or_not_at_all():
    async with running_server(add_trading(Trading())) as channel:
        positions = PlatformPositions(channel, 2.0)
        report = await positions.report(1, [101])
        assert report.observed_time == datetime(2026, 1, 5, tzinfo=UTC)
        assert (report.account_ids.tolist(), report.position_tickets.tolist()) == ([101, 101], [5_000, 8_000])
        assert (report.symbols, report.volumes_e8.tolist()) == (["GBPUSD", "EURUSD"], [E8, -E8])
        assert (report.open_prices_e8.tolist(), report.order_ids.tolist()) == ([2 * E8, 3 * E8], [9, 0])
        assert (await positions.report(1, [101, 102])).left_account_ids == [102]


async def test_what_does_not_fit_into_one_answer_is_asked_for_in_halves():
    trading = Trading()
    async with running_server(add_trading(trading)) as channel:
        positions = PlatformPositions(channel, 5.0)
        report = await positions.report(1, [200, 201, 202])
        assert trading.asked == [[200, 201, 202], [200], [201, 202], [201], [202]]
        assert np.unique(report.account_ids, return_counts=True)[1].tolist() == [8_000] * 3
        assert {column.size for column in (report.position_tickets, report.order_ids, report.floating_minor)} == {
            24_000
        }
        assert len(report.symbols) == 24_000
        assert report.observed_time == datetime(2026, 1, 5, tzinfo=UTC) + timedelta(seconds=2), "of the oldest answer"
        with pytest.raises(PositionsTooMany) as caught:
            await positions.report(1, [200, 299])
        assert caught.value.metadata["accountId"] == "299"


class Deals(deals_pb2_grpc.DealsServiceServicer):
    async def BatchGetDeals(self, request, context):
        assert (list(request.account_ids), list(request.position_tickets)) == ([101], [5_000])
        deals = events_pb2.DealsObserved(deal_tickets=[7 if request.HasField("since_time") else 8])
        return deals_pb2.BatchGetDealsResponse(deals=deals)


async def test_what_was_told_is_asked_for_again():
    def add(server) -> None:
        deals_pb2_grpc.add_DealsServiceServicer_to_server(Deals(), server)
        add_trading(Trading())(server)

    async with running_server(add) as channel:
        facts = PlatformFacts(channel, 2.0)
        assert (await facts.deals(1, [101], [5_000], None)).deal_tickets == [8]
        assert (await facts.deals(1, [101], [5_000], datetime(2026, 1, 5, tzinfo=UTC))).deal_tickets == [7]
        assert [list(page.item_ids) async for page in facts.orders(1, "allocation/1")] == [[1], [2]]
