"""The whole service on a real wire: PostgreSQL, Valkey, gRPC; only platform-groups is played by this test."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid

from apportion.allocation.app import build
from apportion.allocation.settings import AllocationSettings
from apportion.api.allocation.v1 import (
    allocations_pb2,
    allocations_pb2_grpc,
    masters_pb2,
    masters_pb2_grpc,
    subscriptions_pb2,
    subscriptions_pb2_grpc,
)
from apportion.api.common.v1 import events_pb2_grpc
from apportion.api.platform_groups.v1 import (
    accounts_pb2,
    accounts_pb2_grpc,
    events_pb2,
    platform_groups_pb2,
    trading_pb2,
    trading_pb2_grpc,
    trading_servers_pb2,
    trading_servers_pb2_grpc,
)
from apportion.events import Redis, Relay, ReplayServicer, publish_weather
from apportion.money import E8
from apportion.rpc import call_options, column, open_channel, set_column, to_timestamp
from apportion.runtime import Background, SystemClock
from apportion.storage import append_event, transaction
from apportion.testing.polling import PATIENCE_SECONDS, eventually
from apportion.testing.servers import serving

SCHEMA = "apportion.allocation.storage"
CLOCK = SystemClock()
MASTER, FOLLOWER, WALLET = 64, 101, 9


class Platform:
    """Answers as platform-groups does, and publishes its events from an outbox of its own."""

    def __init__(self, engine) -> None:
        self.engine = engine
        self.submitted: list[trading_pb2.SubmitOrdersRequest] = []
        self.foreign: dict[int, int] = {}
        """Tickets of positions opened by hand, by account."""

    def add(self, server) -> None:
        accounts = _only(self, accounts_pb2_grpc.AccountsServiceServicer)
        accounts_pb2_grpc.add_AccountsServiceServicer_to_server(accounts, server)
        trading = _only(self, trading_pb2_grpc.TradingServiceServicer)
        trading_pb2_grpc.add_TradingServiceServicer_to_server(trading, server)
        servers = _only(self, trading_servers_pb2_grpc.TradingServersServiceServicer)
        trading_servers_pb2_grpc.add_TradingServersServiceServicer_to_server(servers, server)
        events_pb2_grpc.add_ReplayServiceServicer_to_server(ReplayServicer(self.engine), server)

    async def GetAccount(self, request, context):
        is_master = request.account_id == MASTER
        kind = accounts_pb2.ACCOUNT_KIND_MASTER if is_master else accounts_pb2.ACCOUNT_KIND_INVESTMENT
        account = accounts_pb2.Account(
            account_id=request.account_id,
            trading_server_id=7,
            kind=kind,
            state=accounts_pb2.ACCOUNT_STATE_OPEN,
            login=1_000 + request.account_id,
            currency_code="USD",
            wallet_account_id=WALLET,
            margin_mode=platform_groups_pb2.MARGIN_MODE_HEDGING,
        )
        return accounts_pb2.GetAccountResponse(account=account)

    async def ListSymbols(self, request, context):
        symbol = trading_servers_pb2.Symbol(
            name="EURUSD", min_volume_e8=E8 // 100, max_volume_e8=100 * E8, volume_step_e8=E8 // 100
        )
        return trading_servers_pb2.ListSymbolsResponse(symbols=[symbol])

    async def SubmitOrders(self, request, context):
        self.submitted.append(request)
        return trading_pb2.SubmitOrdersResponse(accepted_count=len(request.item_ids))

    async def BatchGetPositions(self, request, context):
        found = [
            (account_id, self.foreign[account_id]) for account_id in request.account_ids if account_id in self.foreign
        ]
        columns = trading_pb2.PositionColumns(symbols=["EURUSD"])
        for name, values in {
            "account_ids": [account_id for account_id, _ in found],
            "position_tickets": [ticket for _, ticket in found],
            "symbol_indexes": [0] * len(found),
            "volumes_e8": [-E8] * len(found),
            "open_prices_e8": [E8] * len(found),
            "stop_losses_e8": [0] * len(found),
            "take_profits_e8": [0] * len(found),
            "order_ids": [0] * len(found),
            "profits_minor": [0] * len(found),
            "swaps_minor": [0] * len(found),
        }.items():
            set_column(columns, name, values)
        return trading_pb2.BatchGetPositionsResponse(positions=columns, observed_time=to_timestamp(CLOCK.now()))

    async def publish(self, topic: str, aggregate_id: str, partition: int, message) -> None:
        async with transaction(self.engine) as tx:
            await append_event(
                tx,
                label=1,
                aggregate_type=topic,
                aggregate_id=aggregate_id,
                partition=partition,
                type=message.DESCRIPTOR.full_name,
                payload=message.SerializeToString(),
                now=CLOCK.now(),
                event_id=uuid.uuid4(),
            )

    async def publish_deal(self, account_id, ticket, position, entry, volume_e8, order_id=0) -> None:
        message = events_pb2.DealsObserved(
            trading_server_id=7, observed_time=to_timestamp(CLOCK.now()), symbols=["", "EURUSD"]
        )
        values = {
            "deal_tickets": ticket,
            "account_ids": account_id,
            "position_tickets": position,
            "actions": events_pb2.DEAL_ACTION_TRADE,
            "entries": entry,
            "symbol_indexes": 1,
            "volumes_e8": volume_e8,
            "prices_e8": E8,
            "server_times_ms": 1,
            "order_ids": order_id,
            "order_tickets": 0,
            "transfer_ids": 0,
            "profits_minor": 0,
            "swaps_minor": 0,
            "commissions_minor": 0,
            "reasons": 0,
        }
        for name, value in values.items():
            set_column(message, name, [value])
        await self.publish("deals", f"7/{account_id % 64}", account_id % 64, message)

    async def publish_fill(self, request, position) -> None:
        message = events_pb2.OrdersUpdated(source_id=request.source_id, purpose=request.purpose)
        orders = message.orders
        orders.reasons.append("")
        for name, values in {
            "order_ids": [1],
            "item_ids": request.item_ids,
            "account_ids": request.account_ids,
            "states": [trading_pb2.ORDER_STATE_FILLED],
            "reason_indexes": [0],
            "volumes_e8": request.volumes_e8,
            "filled_volumes_e8": request.volumes_e8,
            "prices_e8": [E8],
            "position_tickets": [position],
        }.items():
            set_column(orders, name, list(values))
        await self.publish("orders", str(request.ordering_key), request.ordering_key % 64, message)


def _only(platform: Platform, servicer: type) -> object:
    """A servicer with those methods that the platform plays; the others fail the test that calls them."""

    async def unexpected(request, context):
        raise AssertionError(f"unexpected call: {request!r}")

    made = servicer()
    for name in vars(servicer):
        if not name.startswith("_"):
            setattr(made, name, getattr(platform, name, unexpected))
    return made


def settings_for(database_url, redis_url, platform_address, **more) -> AllocationSettings:
    return AllocationSettings(
        database_url=database_url,
        redis_url=redis_url,
        platform_groups_address=platform_address,
        insecure=True,
        drain_seconds=0,
        stale_seconds=PATIENCE_SECONDS,
        deal_seconds=PATIENCE_SECONDS,
        **more,
    )


async def publish_states(redis, equities: dict[int, int]) -> None:
    now = CLOCK.now()
    message = events_pb2.AccountStates(trading_server_id=7, observed_time=to_timestamp(now))
    set_column(message, "account_ids", sorted(equities))
    set_column(message, "equities_minor", [equities[account_id] for account_id in sorted(equities)])
    await publish_weather(redis, "weather:accounts:7", message.SerializeToString(), int(now.timestamp() * 1_000))


async def follow(channel) -> int:
    """A copying master with one follower. Returns the master's id."""
    options = call_options(1, PATIENCE_SECONDS)
    masters = masters_pb2_grpc.MastersServiceStub(channel)
    request = masters_pb2.CreateMasterRequest(
        request_id=str(uuid.uuid4()), name="Alpha", account_type=1, account_id=MASTER, method=8
    )
    master_id = (await masters.CreateMaster(request, **options)).master.master_id
    subscriptions = subscriptions_pb2_grpc.SubscriptionsServiceStub(channel)
    await subscriptions.CreateSubscription(
        subscriptions_pb2.CreateSubscriptionRequest(
            request_id=str(uuid.uuid4()), master_id=master_id, account_id=FOLLOWER
        ),
        **options,
    )
    return master_id


async def test_a_masters_trade_from_deal_to_closed_child(make_database, engine_for, redis_url):
    platform = Platform(await engine_for(SCHEMA))
    redis = Redis(redis_url)
    async with serving(platform.add) as platform_address, Background() as background:
        background.spawn("relay", Relay(platform.engine, redis, owner="platform", clock=CLOCK).run)
        settings = settings_for(await make_database(SCHEMA), redis_url, platform_address)
        async with build(settings, {"serve", "work"}) as app:
            await app.start()
            channel = open_channel(app.address(), tls=None, service="allocation", peer="operator")
            allocations = allocations_pb2_grpc.AllocationsServiceStub(channel)
            master_id = await follow(channel)
            await publish_states(redis, {MASTER: 1_000, FOLLOWER: 2_000})
            await platform.publish_deal(MASTER, 500, 900, events_pb2.DEAL_ENTRY_IN, E8)
            (opening,) = await eventually(lambda: platform.submitted)
            assert column(opening.volumes_e8).tolist() == [2 * E8]
            await platform.publish_fill(opening, 5_000)

            async def children(state):
                answer = await allocations.ListChildTrades(
                    allocations_pb2.ListChildTradesRequest(), **call_options(1, PATIENCE_SECONDS)
                )
                return [child for child in answer.child_trades if child.state == state]

            await eventually(lambda: children(allocations_pb2.CHILD_TRADE_STATE_FILLED))
            await platform.publish_deal(MASTER, 501, 900, events_pb2.DEAL_ENTRY_OUT, -E8)
            _, closing = await eventually(lambda: len(platform.submitted) == 2 and platform.submitted)
            assert (list(closing.position_tickets), list(closing.volumes_e8)) == ([5_000], [-2 * E8])
            await platform.publish_deal(FOLLOWER, 502, 5_000, events_pb2.DEAL_ENTRY_OUT, -2 * E8, order_id=2)
            await platform.publish_fill(closing, 5_000)
            (closed,) = await eventually(lambda: children(allocations_pb2.CHILD_TRADE_STATE_CLOSED))
            assert closed.open_volume_e8 == 0

            async def history():
                request = allocations_pb2.ListHistoryRequest(master_id=master_id)
                rows = (await allocations.ListHistory(request, **call_options(1, PATIENCE_SECONDS))).rows
                return [row.deal_ticket for row in rows] == [501, 500]

            await eventually(history)
            await channel.close()
            await app.stop()
    await redis.close()


async def test_an_allocation_by_command_is_sent_by_the_worker(make_database, engine_for, redis_url):
    platform = Platform(await engine_for(SCHEMA))
    redis = Redis(redis_url)
    async with serving(platform.add) as platform_address:
        settings = settings_for(await make_database(SCHEMA), redis_url, platform_address, dispatch_seconds=0.05)
        async with build(settings, {"serve", "work"}) as app:
            await app.start()
            channel = open_channel(app.address(), tls=None, service="allocation", peer="operator")
            master_id = await follow(channel)
            await publish_states(redis, {MASTER: 1_000, FOLLOWER: 500})
            request = allocations_pb2.AllocateTradeRequest(
                request_id=str(uuid.uuid4()),
                master_id=master_id,
                deal_ticket=500,
                position_ticket=900,
                symbol="EURUSD",
                volume_e8=E8,
                price_e8=E8,
            )
            stub = allocations_pb2_grpc.AllocationsServiceStub(channel)
            answer = await stub.AllocateTrade(request, **call_options(1, PATIENCE_SECONDS))
            assert answer.allocation.child_volume_sum_e8 == E8 // 2
            (opening,) = await eventually(lambda: platform.submitted)
            assert opening.HasField("not_after_time")
            await channel.close()
            await app.stop()
    await redis.close()


async def test_positions_opened_by_hand_are_found_without_an_event(make_database, engine_for, redis_url):
    platform = Platform(await engine_for(SCHEMA))
    platform.foreign[FOLLOWER] = 8_000
    async with serving(platform.add) as platform_address:
        quick = {"reconcile_seconds": 0.1, "confirm_seconds": 0.1}
        settings = settings_for(await make_database(SCHEMA), redis_url, platform_address, **quick)
        async with build(settings, {"serve", "work"}) as app:
            await app.start()
            channel = open_channel(app.address(), tls=None, service="allocation", peer="operator")
            await follow(channel)
            stub = allocations_pb2_grpc.AllocationsServiceStub(channel)
            request = allocations_pb2.ListChildTradesRequest(include_foreign=True)

            async def shown():
                return list((await stub.ListChildTrades(request, **call_options(1, PATIENCE_SECONDS))).child_trades)

            (row,) = await eventually(shown)
            assert (row.account_id, row.position_ticket, row.open_volume_e8) == (FOLLOWER, 8_000, -E8)
            assert (row.child_trade_id, list(row.mismatches)) == (0, [allocations_pb2.MISMATCH_NO_MASTER_TRADE])
            await channel.close()
            await app.stop()


async def test_the_process_migrates_runs_and_stops(postgres_url, redis_url, tmp_path):
    ready = tmp_path / "ready.json"
    environment = os.environ | {
        "ALLOCATION_DATABASE_URL": postgres_url,
        "ALLOCATION_REDIS_URL": redis_url,
        "ALLOCATION_PLATFORM_GROUPS_ADDRESS": "127.0.0.1:1",
        "ALLOCATION_INSECURE": "true",
        "ALLOCATION_DRAIN_SECONDS": "0",
        "ALLOCATION_READY_FILE": str(ready),
    }

    async def start(command: str):
        arguments = (sys.executable, "-m", "apportion.allocation", command)
        return await asyncio.create_subprocess_exec(*arguments, env=environment)

    assert await (await start("migrate")).wait() == 0
    process = await start("run")
    try:
        await eventually(ready.exists)
        assert json.loads(ready.read_text())["pid"] == process.pid
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), PATIENCE_SECONDS) == 0
    finally:
        if process.returncode is None:
            process.kill()
