"""The real process between stubs of the services it calls: killed with signal 9 in a trip, and without Redis."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from risk_world import ACCOUNT, LABEL, NOON_MS, PERCENT, SERVER

from apportion.api.allocation.v1 import masters_pb2, masters_pb2_grpc
from apportion.api.common.v1 import events_pb2, events_pb2_grpc
from apportion.api.platform_groups.v1 import accounts_pb2, accounts_pb2_grpc, trading_pb2, trading_pb2_grpc
from apportion.api.platform_groups.v1.events_pb2 import AccountStates, DealsObserved
from apportion.api.risk.v1 import limits_pb2, limits_pb2_grpc, trips_pb2, trips_pb2_grpc
from apportion.errors import NotFound
from apportion.events import Redis, publish_weather, stream_key
from apportion.events.weather import accounts_key
from apportion.rpc import call_options, caller, open_channel, to_timestamp
from apportion.testing.polling import PATIENCE_SECONDS, eventually
from apportion.testing.servers import serving


class Others(
    masters_pb2_grpc.MastersServiceServicer,
    trading_pb2_grpc.TradingServiceServicer,
    accounts_pb2_grpc.AccountsServiceServicer,
    events_pb2_grpc.ReplayServiceServicer,
):
    """allocation and platform-groups in one: a master whose positions take a while to close."""

    def __init__(self) -> None:
        self.closings: dict[str, int] = {}
        self.requests: set[str] = set()
        self.may_be_flat = False
        self.states: AccountStates | None = None
        self.events: list[events_pb2.Event] = []
        for name in dir(type(self)):
            if name[0].isupper() and not inspect.iscoroutinefunction(getattr(self, name)):
                setattr(self, name, self._unused)

    async def _unused(self, request, context):
        raise AssertionError("not part of this test")

    async def GetMaster(self, request, context):
        master = masters_pb2.Master(master_id=3, account_id=ACCOUNT, trading_server_id=SERVER, currency_code="USD")
        return masters_pb2.GetMasterResponse(master=master)

    async def HaltMaster(self, request, context):
        self.requests.add(request.request_id)
        return masters_pb2.HaltMasterResponse()

    async def CloseAllPositions(self, request, context):
        closing_id = self.closings.setdefault(request.request_id, 500 + len(self.closings))
        return trading_pb2.CloseAllPositionsResponse(closing=trading_pb2.Closing(closing_id=closing_id, state=1))

    async def GetClosing(self, request, context):
        closing = trading_pb2.Closing(closing_id=request.closing_id, state=2 if self.may_be_flat else 1)
        if self.may_be_flat:
            closing.flat_time.CopyFrom(to_timestamp(datetime(2026, 1, 1, tzinfo=UTC)))
        return trading_pb2.GetClosingResponse(closing=closing)

    async def ListPositions(self, request, context):
        return trading_pb2.ListPositionsResponse()

    async def SetAccountAccess(self, request, context):
        self.requests.add(request.request_id)
        return accounts_pb2.SetAccountAccessResponse()

    async def GetAccountStates(self, request, context):
        """What was last shown of the account, as it still is now."""
        if self.states is None or (request.trading_server_id, caller().label) != (SERVER, LABEL):
            raise NotFound("trading server", request.trading_server_id)
        self.states.observed_time.CopyFrom(to_timestamp(datetime.now(UTC)))
        return accounts_pb2.GetAccountStatesResponse(states=self.states)

    async def ReplayEvents(self, request, context):
        found = [event for event in self.events if event.sequence >= request.from_sequence]
        return events_pb2.ReplayEventsResponse(events=found)

    async def ListHeads(self, request, context):
        heads = self.events[-1:] if request.partition == ACCOUNT % 64 else []
        return events_pb2.ListHeadsResponse(
            labels=[event.label for event in heads],
            aggregate_ids=[event.aggregate_id for event in heads],
            sequences=[event.sequence for event in heads],
        )

    async def tell_withdrawal(self, redis: Redis, amount_minor: int) -> None:
        """The deal of a withdrawal, in the stream and for replays."""
        deals = DealsObserved(
            deal_tickets=[900],
            account_ids=[ACCOUNT],
            actions=[2],
            profits_minor=[-amount_minor],
            swaps_minor=[0],
            commissions_minor=[0],
            server_times_ms=[NOON_MS + 5_000],
        )
        self.events.append(
            events_pb2.Event(
                event_id=str(uuid.uuid4()),
                label=LABEL,
                aggregate_type="deals",
                aggregate_id=f"{SERVER}/{ACCOUNT % 64}",
                sequence=1,
                type=deals.DESCRIPTOR.full_name,
                occurred_time=to_timestamp(datetime.now(UTC)),
                partition=ACCOUNT % 64,
                payload=deals.SerializeToString(),
            )
        )
        entry = self.events[-1].SerializeToString()
        await redis.command("XADD", stream_key("deals", ACCOUNT % 64), "*", b"event", entry)


def add_all(others: Others):
    def add(server) -> None:
        masters_pb2_grpc.add_MastersServiceServicer_to_server(others, server)
        trading_pb2_grpc.add_TradingServiceServicer_to_server(others, server)
        accounts_pb2_grpc.add_AccountsServiceServicer_to_server(others, server)
        events_pb2_grpc.add_ReplayServiceServicer_to_server(others, server)

    return add


class Process:
    """One start of `python -m apportion.risk run` with a client."""

    def __init__(self, process, channel) -> None:
        self.process = process
        self.limits = limits_pb2_grpc.LimitsServiceStub(channel)
        self.trips = trips_pb2_grpc.TripsServiceStub(channel)

    async def set_limit(self) -> None:
        request = limits_pb2.SetDailyLimitRequest(
            request_id=str(uuid.uuid4()), master_id=3, limit_percent_e8=10 * PERCENT
        )
        await self.limits.SetDailyLimit(request, **call_options(LABEL, PATIENCE_SECONDS))

    async def limit(self) -> limits_pb2.DailyLimit:
        request = limits_pb2.GetDailyLimitRequest(master_id=3)
        return (await self.limits.GetDailyLimit(request, **call_options(LABEL, PATIENCE_SECONDS))).daily_limit

    async def state(self) -> int:
        return (await self.limit()).state

    async def trip(self) -> trips_pb2.Trip:
        return (
            await self.trips.GetTrip(trips_pb2.GetTripRequest(trip_id=1), **call_options(LABEL, PATIENCE_SECONDS))
        ).trip


@asynccontextmanager
async def started(environment, ready) -> AsyncIterator[Process]:
    ready.unlink(missing_ok=True)
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "apportion.risk", "run", env=environment)
    try:
        await eventually(ready.exists)
        address = json.loads(ready.read_text())["address"]
        channel = open_channel(address, tls=None, service="risk")
        yield Process(process, channel)
        await channel.close()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def states_of(seconds: int, equity: int, balance: int) -> AccountStates:
    return AccountStates(
        trading_server_id=SERVER,
        observed_time=to_timestamp(datetime.now(UTC)),
        server_time_ms=NOON_MS + seconds * 1_000,
        account_ids=[ACCOUNT],
        balances_minor=[balance],
        credits_minor=[0],
        equities_minor=[equity],
    )


async def publish(redis: Redis, others: Others, version: int, equity: int, balance: int) -> None:
    others.states = states_of(version, equity, balance)
    await publish_weather(redis, accounts_key(SERVER), others.states.SerializeToString(), version)


def environment_of(database_url: str, redis_url: str, address: str, ready) -> dict[str, str]:
    return os.environ | {
        "RISK_DATABASE_URL": database_url,
        "RISK_REDIS_URL": redis_url,
        "RISK_INSECURE": "true",
        "RISK_READY_FILE": str(ready),
        "RISK_ALLOCATION_ADDRESS": address,
        "RISK_PLATFORM_GROUPS_ADDRESS": address,
        "RISK_DRAIN_SECONDS": "0",
        "RISK_UNEXPLAINED_SECONDS": "600",
    }


async def test_a_killed_process_carries_its_trip_on(make_database, redis_url, tmp_path):
    ready, others, redis = tmp_path / "ready.json", Others(), Redis(redis_url)
    async with serving(add_all(others)) as address:
        database_url = await make_database("apportion.risk.storage")
        environment = environment_of(database_url, redis_url, address, ready)
        async with started(environment, ready) as first:
            await first.set_limit()
            await publish(redis, others, 1, 10_000, 10_000)

            async def armed() -> bool:
                return (await first.limit()).state == 2

            await eventually(armed)
            await publish(redis, others, 20, 6_000, 6_000)
            await others.tell_withdrawal(redis, 4_000)

            async def withdrawn() -> bool:
                return (await first.limit()).day_flow_minor == -4_000

            await eventually(withdrawn)
            assert (await first.limit()).state == 2
            await publish(redis, others, 21, 5_300, 6_000)
            await eventually(lambda: others.closings)
            first.process.kill()
            await first.process.wait()
        others.may_be_flat = True
        async with started(environment, ready) as second:

            async def closed() -> bool:
                return (await second.trip()).state == 3

            await eventually(closed)
            trip = await second.trip()
            assert (trip.signal_equity_minor, trip.equity_minor, trip.day_flow_minor) == (5_400, 5_300, -4_000)
            assert trip.achieved_equity_minor == 5_300
            await eventually(lambda: _length(redis))
            second.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_SECONDS):
                assert await second.process.wait() == 0
        assert not ready.exists()
    assert list(others.closings.values()) == [500]
    assert len(others.requests) == 2  # one halt, one read-only, however often they were asked for
    await redis.close()


async def _length(redis: Redis) -> bool:
    """All three states of the trip were published."""
    entries = await redis.command("XLEN", stream_key("trips", ACCOUNT % 64))
    return isinstance(entries, int) and entries >= 3


async def test_a_limit_trips_while_redis_is_away(make_database, tmp_path):
    """From armed to closed: the weather is not needed for any of it."""
    ready, others = tmp_path / "ready.json", Others()
    others.states, others.may_be_flat = states_of(0, 10_000, 10_000), True
    async with serving(add_all(others)) as address:
        database_url = await make_database("apportion.risk.storage")
        environment = environment_of(database_url, "redis://127.0.0.1:9", address, ready)
        async with started(environment, ready) as process:
            await process.set_limit()

            async def is_armed() -> bool:
                return await process.state() == 2

            async def is_closed() -> bool:
                return await process.state() == 5

            await eventually(is_armed)
            assert (await process.limit()).last_equity_minor == 10_000
            others.states = states_of(10, 9_500, 10_000)

            async def is_seen() -> bool:
                return (await process.limit()).last_equity_minor == 9_500

            await eventually(is_seen)
            others.states = states_of(20, 8_900, 10_000)
            await eventually(is_closed)
            trip = await process.trip()
            assert (trip.equity_minor, trip.achieved_equity_minor) == (8_900, 8_900)
            assert trip.snapshot_source == trips_pb2.SNAPSHOT_SOURCE_ASKED
            assert not trip.prices
    assert list(others.closings.values()) == [500]
