from __future__ import annotations

import inspect
import uuid
from datetime import timedelta

import pytest
from risk_world import LABEL, NOW, StubStates, snapshot_of

from apportion.api.allocation.v1 import masters_pb2, masters_pb2_grpc
from apportion.api.platform_groups.v1 import accounts_pb2, accounts_pb2_grpc, trading_pb2, trading_pb2_grpc
from apportion.api.platform_groups.v1.events_pb2 import AccountStates
from apportion.errors import DomainError, Kind, MalformedMessage, NotFound, UpstreamUnavailable
from apportion.events import Redis, publish_weather
from apportion.events.weather import accounts_key
from apportion.risk.adapters.account_states import NewestStates
from apportion.risk.adapters.allocation import AllocationMasters
from apportion.risk.adapters.platform_groups import AskedStates, PlatformAccounts
from apportion.risk.adapters.weather import RedisWeather
from apportion.risk.domain.limits import MasterAccount
from apportion.risk.domain.snapshots import Snapshot, SnapshotSource
from apportion.risk.domain.trips import Close
from apportion.risk.operations.ports import ClosingReport
from apportion.rpc import caller, to_timestamp
from apportion.runtime import FixedClock
from apportion.testing.servers import running_server

REQUEST_ID = uuid.UUID(int=7)


def whole(servicer):
    """With a method for every RPC, as the server demands; those that the stub lacks only fail."""

    async def unused(request, context):
        raise AssertionError("not part of this test")

    for name in dir(type(servicer)):
        if name[0].isupper() and not inspect.iscoroutinefunction(getattr(servicer, name)):
            setattr(servicer, name, unused)
    return servicer


class HaltCauseMismatch(DomainError):
    """As allocation says it."""

    kind = Kind.PRECONDITION
    reason = "HALT_CAUSE_MISMATCH"
    cure = "None."


class Masters(masters_pb2_grpc.MastersServiceServicer):
    def __init__(self) -> None:
        self.halts: list[masters_pb2.HaltMasterRequest] = []

    async def GetMaster(self, request, context):
        if request.master_id != 3:
            raise NotFound("master", request.master_id)
        master = masters_pb2.Master(master_id=3, account_id=43, trading_server_id=1, currency_code="USD")
        return masters_pb2.GetMasterResponse(master=master)

    async def HaltMaster(self, request, context):
        self.halts.append(request)
        return masters_pb2.HaltMasterResponse()

    async def ResumeMaster(self, request, context):
        if request.cause == "risk/trip/1":
            raise HaltCauseMismatch
        raise NotFound("master", request.master_id)


class Trading(trading_pb2_grpc.TradingServiceServicer):
    def __init__(self) -> None:
        self.positions: list[trading_pb2.Position] = []
        self.closing = trading_pb2.Closing(closing_id=500, state=1, last_error="busy")
        self.requests: list[trading_pb2.CloseAllPositionsRequest] = []

    async def CloseAllPositions(self, request, context):
        self.requests.append(request)
        return trading_pb2.CloseAllPositionsResponse(closing=self.closing)

    async def GetClosing(self, request, context):
        return trading_pb2.GetClosingResponse(closing=self.closing)

    async def ListPositions(self, request, context):
        return trading_pb2.ListPositionsResponse(positions=self.positions)


class Accounts(accounts_pb2_grpc.AccountsServiceServicer):
    def __init__(self) -> None:
        self.account = accounts_pb2.Account(account_id=43)
        self.accesses: list[int] = []

    async def SetAccountAccess(self, request, context):
        self.accesses.append(request.access)
        return accounts_pb2.SetAccountAccessResponse(account=self.account)

    async def GetAccountStates(self, request, context):
        if (request.trading_server_id, caller().label) != (1, LABEL):
            raise NotFound("trading server", request.trading_server_id)
        page = [id_ for id_ in range(40, 50) if id_ > request.after_account_id][:4]
        states = states_of(page, observed=NOW + timedelta(seconds=page[0]))
        states.server_time_ms = page[0] * 1_000
        return accounts_pb2.GetAccountStatesResponse(
            states=states, next_after_account_id=0 if page[-1] == 49 else page[-1]
        )


async def test_masters_are_asked_halted_and_resumed():
    servicer = Masters()
    async with running_server(
        lambda server: masters_pb2_grpc.add_MastersServiceServicer_to_server(whole(servicer), server)
    ) as channel:
        masters = AllocationMasters(channel, call_seconds=5)
        assert await masters.master_account(LABEL, 3) == MasterAccount(3, 43, 1, "USD")
        with pytest.raises(NotFound):
            await masters.master_account(LABEL, 4)
        await masters.halt(LABEL, 3, "risk/trip/1", REQUEST_ID)
        await masters.resume(LABEL, 3, "risk/trip/1", REQUEST_ID)  # not our latch any more: nothing to release
        with pytest.raises(NotFound):
            await masters.resume(LABEL, 3, "risk/trip/2", REQUEST_ID)
    (halt,) = servicer.halts
    assert (halt.request_id, halt.master_id, halt.cause) == (str(REQUEST_ID), 3, "risk/trip/1")


async def test_accounts_are_closed_watched_and_made_read_only():
    trading, accounts = Trading(), Accounts()

    def add(server) -> None:
        trading_pb2_grpc.add_TradingServiceServicer_to_server(whole(trading), server)
        accounts_pb2_grpc.add_AccountsServiceServicer_to_server(whole(accounts), server)

    async with running_server(add) as channel:
        platform = PlatformAccounts(channel, call_seconds=5)
        assert await platform.close_all(LABEL, 43, "risk/trip/1", REQUEST_ID) == 500
        assert (trading.requests[0].account_id, trading.requests[0].cause) == (43, "risk/trip/1")
        assert await platform.closing(LABEL, 500) == ClosingReport(None, (), "busy")
        closes = {"position_tickets": [1, 2], "volumes_e8": [10, 20], "prices_e8": [5, 6], "server_times_ms": [7, 8]}
        trading.closing = trading_pb2.Closing(closing_id=500, state=2, flat_time=to_timestamp(NOW), **closes)
        assert await platform.closing(LABEL, 500) == ClosingReport(NOW, (Close(1, 10, 5, 7), Close(2, 20, 6, 8)), "")
        trading.closing.ClearField("server_times_ms")
        assert [close.server_time_ms for close in (await platform.closing(LABEL, 500)).closes] == [0, 0]
        assert not await platform.has_positions(LABEL, 43)
        trading.positions.append(trading_pb2.Position(position_ticket=9))
        assert await platform.has_positions(LABEL, 43)
        for read_only in (True, False):
            await platform.set_read_only(LABEL, 43, read_only, "risk/trip/1", REQUEST_ID)
        assert accounts.accesses == [2, 1]


def states_of(account_ids=(43,), observed=NOW, equity=2) -> AccountStates:
    states = AccountStates(trading_server_id=1, observed_time=to_timestamp(observed), account_ids=account_ids)
    for field in ("balances_minor", "credits_minor", "equities_minor", "margins_minor", "free_margins_minor"):
        getattr(states, field).extend([equity] * len(states.account_ids))
    return states


async def test_account_states_are_asked_for_with_the_label_of_the_server():
    async with running_server(
        lambda server: accounts_pb2_grpc.add_AccountsServiceServicer_to_server(whole(Accounts()), server)
    ) as channel:
        asked = AskedStates(channel, ask_seconds=5)
        snapshot = await asked.newest(LABEL, 1)
        first = NOW + timedelta(seconds=40)
        assert (snapshot.source, snapshot.observed_time) == (SnapshotSource.ASKED, first)
        assert snapshot.server_time_ms == 40_000
        assert (snapshot.equity_minor(43), snapshot.account_ids.size) == (2, 10)
        for stranger in ((LABEL, 2), (LABEL + 1, 1)):
            with pytest.raises(NotFound):
                await asked.newest(*stranger)


async def test_the_weather_is_read_as_it_is_now(redis_url):
    redis = Redis(redis_url)
    weather = RedisWeather(redis)
    assert await weather.newest(LABEL, 1) is None
    await publish_weather(redis, accounts_key(1), states_of().SerializeToString(), 5)
    snapshot = await weather.newest(LABEL, 1)
    assert snapshot is not None
    assert (snapshot.source, snapshot.observed_time) == (SnapshotSource.WEATHER, NOW)
    assert snapshot.equity_minor(43) == 2
    await publish_weather(redis, accounts_key(1), b"\xff", 6)
    with pytest.raises(MalformedMessage):
        await weather.newest(LABEL, 1)
    await redis.close()


async def test_without_redis_there_is_no_weather():
    redis = Redis("redis://127.0.0.1:9")
    with pytest.raises(UpstreamUnavailable):
        await RedisWeather(redis).newest(LABEL, 1)
    await redis.close()


def seen(seconds: float, source: SnapshotSource) -> Snapshot:
    return snapshot_of(1, 1, time_ms=0, observed=NOW + timedelta(seconds=seconds), source=source)


AWAY = UpstreamUnavailable("away", service="somebody")
OLD_WEATHER, FRESH_WEATHER = seen(-1.1, SnapshotSource.WEATHER), seen(-1, SnapshotSource.WEATHER)
OLDER_ANSWER, NEWER_ANSWER = seen(-2, SnapshotSource.ASKED), seen(0, SnapshotSource.ASKED)


@pytest.mark.parametrize(
    ("weather", "asked", "newest", "ask_count"),
    [
        (StubStates(FRESH_WEATHER), StubStates(NEWER_ANSWER), FRESH_WEATHER, 0),
        (StubStates(OLD_WEATHER), StubStates(NEWER_ANSWER), NEWER_ANSWER, 1),
        (StubStates(OLD_WEATHER), StubStates(OLDER_ANSWER), OLD_WEATHER, 1),
        (StubStates(OLD_WEATHER), StubStates(failure=AWAY), OLD_WEATHER, 1),
        (StubStates(), StubStates(NEWER_ANSWER), NEWER_ANSWER, 1),
        (StubStates(failure=AWAY), StubStates(NEWER_ANSWER), NEWER_ANSWER, 1),
        (StubStates(failure=AWAY), StubStates(failure=AWAY), None, 1),
    ],
)
async def test_the_newest_states_come_from_whoever_has_them(weather, asked, newest, ask_count):
    states = NewestStates(weather, asked, FixedClock(NOW), fallback_seconds=1)
    assert await states.newest(LABEL, 1) is newest
    assert asked.calls == [(LABEL, 1)] * ask_count
