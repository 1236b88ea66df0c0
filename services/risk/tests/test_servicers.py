from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from risk_world import (
    ACCOUNT,
    DAY,
    LABEL,
    NOON_MS,
    NOW,
    PERCENT,
    Observer,
    StubMasters,
    StubStates,
    snapshot_of,
    trip_of,
)

from apportion.api.risk.v1 import limits_pb2, limits_pb2_grpc, trips_pb2, trips_pb2_grpc
from apportion.errors import (
    DomainError,
    IdempotencyKeyReused,
    InvalidArgument,
    NotFound,
    PageTokenInvalid,
    PeerNotAllowed,
    RequestIdRequired,
    VersionConflict,
)
from apportion.risk.operations.advance_trip import advance_trip
from apportion.risk.peers import PEERS
from apportion.risk.servicers.limits import LimitsServicer
from apportion.risk.servicers.trips import TripsServicer
from apportion.rpc import call_options
from apportion.testing.polling import PATIENCE_SECONDS
from apportion.testing.servers import running_server


class Client:
    def __init__(self, channel, label: int) -> None:
        self.limits = limits_pb2_grpc.LimitsServiceStub(channel)
        self.trips = trips_pb2_grpc.TripsServiceStub(channel)
        self.options = call_options(label, PATIENCE_SECONDS)

    async def set_limit(self, percent_e8=10 * PERCENT, master_id=3, request_id="", **fields) -> limits_pb2.DailyLimit:
        request = limits_pb2.SetDailyLimitRequest(
            request_id=request_id or str(uuid.uuid4()), master_id=master_id, limit_percent_e8=percent_e8, **fields
        )
        return (await self.limits.SetDailyLimit(request, **self.options)).daily_limit

    async def get_limit(self, master_id=3) -> limits_pb2.DailyLimit:
        request = limits_pb2.GetDailyLimitRequest(master_id=master_id)
        return (await self.limits.GetDailyLimit(request, **self.options)).daily_limit

    async def list_limits(self, **fields) -> limits_pb2.ListDailyLimitsResponse:
        return await self.limits.ListDailyLimits(limits_pb2.ListDailyLimitsRequest(**fields), **self.options)

    async def get_trip(self, trip_id=1) -> trips_pb2.Trip:
        return (await self.trips.GetTrip(trips_pb2.GetTripRequest(trip_id=trip_id), **self.options)).trip

    async def list_trips(self, **fields) -> trips_pb2.ListTripsResponse:
        return await self.trips.ListTrips(trips_pb2.ListTripsRequest(**fields), **self.options)


@asynccontextmanager
async def client_of(engine, clock, *, states=None, peer="operator", label=LABEL) -> AsyncIterator[Client]:
    def add(server) -> None:
        servicer = LimitsServicer(engine, StubMasters(), states or StubStates(), clock)
        limits_pb2_grpc.add_LimitsServiceServicer_to_server(servicer, server)
        trips_pb2_grpc.add_TripsServiceServicer_to_server(TripsServicer(engine), server)

    async with running_server(add, PEERS, peer=peer) as channel:
        yield Client(channel, label)


@pytest.fixture
async def client(engine, clock) -> AsyncIterator[Client]:
    async with client_of(engine, clock) as client:
        yield client


async def refusal(call) -> DomainError:
    with pytest.raises(DomainError) as failure:
        await call
    return failure.value


async def tripped(client, engine, lease, clock, master_id=3) -> None:
    await client.set_limit(master_id=master_id)
    observer = Observer(engine, lease, clock)
    for equity in (10_000, 10_000, 8_900):
        await observer.look(equity, account=40 + master_id)


async def test_a_limit_is_set_and_read_with_its_live_equity(engine, clock):
    states = StubStates()
    async with client_of(engine, clock, states=states) as client:
        limit = await client.set_limit()
        assert (limit.master_id, limit.account_id, limit.currency_code) == (3, ACCOUNT, "USD")
        assert (limit.basis, limit.state, limit.etag, limit.last_equity_minor) == (1, 1, "1", 0)
        states.known = snapshot_of(9_870, 10_000, time_ms=NOON_MS, observed=NOW)
        assert (await client.get_limit()).last_equity_minor == 9_870
        assert (await client.list_limits()).daily_limits[0].last_equity_minor == 9_870
        await client.set_limit(master_id=4)
        assert (await client.get_limit(4)).last_equity_minor == 0


async def test_an_armed_limit_shows_day_start_signal_and_trip(client, engine, lease, clock):
    await tripped(client, engine, lease, clock)
    limit = await client.get_limit()
    assert (limit.state, limit.server_day, limit.trip_id) == (3, DAY, 1)
    assert (limit.day_start_equity_minor, limit.signal_equity_minor, limit.alarm) == (10_000, 9_000, "")


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"percent_e8": 0}, "LIMIT_RANGE"),
        ({"percent_e8": -1}, "LIMIT_RANGE"),
        ({"percent_e8": 100 * PERCENT + 1}, "LIMIT_RANGE"),
        ({"basis": 2}, "BASIS_NOT_AVAILABLE"),
        ({"basis": 3}, "BASIS_NOT_AVAILABLE"),
        ({"basis": 4}, "BASIS_NOT_AVAILABLE"),
        ({"basis": 5}, "BASIS_NOT_AVAILABLE"),
        ({"master_id": 101}, "NOT_FOUND"),
        ({"basis": 9}, "FIELD_INVALID"),
        ({"master_id": 0}, "FIELD_INVALID"),
    ],
)
async def test_limits_that_cannot_be_are_refused(client, fields, reason):
    assert (await refusal(client.set_limit(**fields))).reason == reason
    with pytest.raises(NotFound):
        await client.get_limit()


async def test_a_tripped_limit_is_latched(client, engine, lease, clock):
    await tripped(client, engine, lease, clock)
    error = await refusal(client.set_limit(percent_e8=90 * PERCENT))
    assert (error.reason, error.metadata["tripId"]) == ("LIMIT_LATCHED", "1")
    assert (await client.get_limit()).limit_percent_e8 == 10 * PERCENT


async def test_repeats_get_the_stored_answer(client):
    request_id = str(uuid.uuid4())
    first = await client.set_limit(request_id=request_id)
    await client.set_limit(20 * PERCENT)
    assert await client.set_limit(request_id=request_id) == first
    assert (await client.get_limit()).etag == "2"
    with pytest.raises(IdempotencyKeyReused):
        await client.set_limit(30 * PERCENT, request_id=request_id)
    with pytest.raises(RequestIdRequired):
        await client.set_limit(request_id="1")


async def test_calls_at_the_same_time_make_one_limit(client):
    answers = await asyncio.gather(*(client.set_limit() for _ in range(10)), return_exceptions=True)
    assert all(isinstance(answer, limits_pb2.DailyLimit | VersionConflict) for answer in answers)
    assert len((await client.list_limits()).daily_limits) == 1


async def test_an_etag_guards_the_limit(client):
    with pytest.raises(VersionConflict):
        await client.set_limit(etag="1")
    await client.set_limit()
    assert (await client.set_limit(20 * PERCENT, etag="1")).etag == "2"
    with pytest.raises(VersionConflict):
        await client.set_limit(20 * PERCENT, etag="1")


async def test_limits_are_listed_by_pages(client):
    for master_id in (5, 3, 4):
        await client.set_limit(master_id=master_id)
    page = await client.list_limits(page_size=2)
    assert [limit.master_id for limit in page.daily_limits] == [3, 4]
    rest = await client.list_limits(page_size=2, page_token=page.next_page_token)
    assert ([limit.master_id for limit in rest.daily_limits], rest.next_page_token) == ([5], "")
    with pytest.raises(PageTokenInvalid):
        await client.list_limits(page_token="x")
    with pytest.raises(InvalidArgument):
        await client.list_limits(page_size=-1)
    with pytest.raises(InvalidArgument):
        await client.get_limit(0)


async def test_a_trip_is_shown_with_all_its_evidence(client, engine, lease, clock, work):
    await tripped(client, engine, lease, clock)
    trip = await client.get_trip()
    assert (trip.trip_id, trip.master_id, trip.account_id, trip.state) == (1, 3, ACCOUNT, 1)
    assert (trip.equity_minor, trip.signal_equity_minor, trip.previous_equity_minor) == (8_900, 9_000, 10_000)
    assert (trip.server_day, trip.limit_percent_e8, trip.basis) == (DAY, 10 * PERCENT, 1)
    assert [price.symbol for price in trip.prices] == ["EURUSD"]
    assert not trip.HasField("flat_time")
    while (current := await trip_of(engine)).state != 3:
        await advance_trip(work, lease, current, DAY)
    trip = await client.get_trip()
    assert (trip.state, trip.achieved_equity_minor, trip.closing_id) == (3, 8_800, 500)
    assert trip.HasField("flat_time")
    assert [(close.position_ticket, close.volume_e8) for close in trip.closes] == [(5000, PERCENT), (5001, PERCENT)]


async def test_trips_are_listed_newest_first(client, engine, lease, clock):
    for master_id in (3, 4, 5):
        await tripped(client, engine, lease, clock, master_id)
    page = await client.list_trips(page_size=2)
    assert [trip.trip_id for trip in page.trips] == [3, 2]
    rest = await client.list_trips(page_size=2, page_token=page.next_page_token)
    assert ([trip.trip_id for trip in rest.trips], rest.next_page_token) == ([1], "")
    assert [trip.trip_id for trip in (await client.list_trips(master_id=4)).trips] == [2]
    with pytest.raises(PageTokenInvalid):
        await client.list_trips(master_id=4, page_token=page.next_page_token)
    for call in (client.list_trips(master_id=-1), client.list_trips(page_size=-1), client.get_trip(0)):
        with pytest.raises(InvalidArgument):
            await call


async def test_another_label_sees_nothing(client, engine, lease, clock):
    await tripped(client, engine, lease, clock)
    async with client_of(engine, clock, label=2) as stranger:
        for call in (stranger.get_limit(), stranger.get_trip(), stranger.set_limit()):
            with pytest.raises(NotFound):
                await call
        assert not (await stranger.list_limits()).daily_limits
        assert not (await stranger.list_trips()).trips


async def test_only_the_operator_may_set_limits(engine, clock):
    async with client_of(engine, clock, peer="auth-gateway") as reader:
        with pytest.raises(PeerNotAllowed):
            await reader.set_limit()
        assert not (await reader.list_limits()).daily_limits
