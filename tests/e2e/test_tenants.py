"""Everything of one broker is invisible to another, in each service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apportion.api.allocation.v1 import allocations_pb2, masters_pb2, subscriptions_pb2
from apportion.api.fees.v1 import calculations_pb2, terms_pb2
from apportion.api.platform_groups.v1 import (
    accounts_pb2,
    platform_groups_pb2,
    trading_pb2,
    trading_servers_pb2,
    transfers_pb2,
)
from apportion.api.risk.v1 import limits_pb2, trips_pb2
from apportion.devstack.clients import Clients, request_id
from apportion.devstack.day import Day
from apportion.devstack.scene import Scene
from apportion.errors import NotFound

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("tenants")]

OTHER_LABEL = 2
Call = tuple[Callable[..., Any], Any]


def gets(clients: Clients, scene: Scene) -> list[Call]:
    """Reads and writes by the id of something that the first broker owns."""
    master = scene.world.masters["copy"]
    follower = scene.world.followers["copy"][0]
    return [
        (clients.servers.GetTradingServer, trading_servers_pb2.GetTradingServerRequest(trading_server_id=1)),
        (clients.groups.GetPlatformGroup, platform_groups_pb2.GetPlatformGroupRequest(platform_group_id=1)),
        (clients.accounts.GetAccount, accounts_pb2.GetAccountRequest(account_id=master.account_id)),
        (clients.accounts.GetAccount, accounts_pb2.GetAccountRequest(login=master.login)),
        (clients.trading.ListPositions, trading_pb2.ListPositionsRequest(account_id=master.account_id)),
        (
            clients.trading.CloseAllPositions,
            trading_pb2.CloseAllPositionsRequest(
                request_id=request_id("foreign close"), account_id=master.account_id, cause="test"
            ),
        ),
        (clients.transfers.GetTransfer, transfers_pb2.GetTransferRequest(transfer_id=1)),
        (clients.masters.GetMaster, masters_pb2.GetMasterRequest(master_id=master.master_id)),
        (
            clients.masters.HaltMaster,
            masters_pb2.HaltMasterRequest(
                request_id=request_id("foreign halt"), master_id=master.master_id, cause="test"
            ),
        ),
        (
            clients.subscriptions.GetSubscription,
            subscriptions_pb2.GetSubscriptionRequest(subscription_id=follower.subscription_id),
        ),
        (clients.allocations.GetAllocation, allocations_pb2.GetAllocationRequest(allocation_id=1)),
        (clients.allocations.ExplainAllocation, allocations_pb2.ExplainAllocationRequest(allocation_id=1)),
        (clients.terms.GetTerms, terms_pb2.GetTermsRequest(subscription_id=follower.subscription_id)),
        (clients.limits.GetDailyLimit, limits_pb2.GetDailyLimitRequest(master_id=master.master_id)),
    ]


def lists(clients: Clients, scene: Scene) -> list[Call]:
    return [
        (clients.servers.ListTradingServers, trading_servers_pb2.ListTradingServersRequest()),
        (clients.groups.ListPlatformGroups, platform_groups_pb2.ListPlatformGroupsRequest()),
        (clients.accounts.ListAccounts, accounts_pb2.ListAccountsRequest()),
        (clients.transfers.ListTransfers, transfers_pb2.ListTransfersRequest()),
        (clients.trading.ListOrders, trading_pb2.ListOrdersRequest(source_id="allocation/1")),
        (clients.masters.ListMasters, masters_pb2.ListMastersRequest()),
        (clients.subscriptions.ListSubscriptions, subscriptions_pb2.ListSubscriptionsRequest()),
        (clients.allocations.ListAllocations, allocations_pb2.ListAllocationsRequest()),
        (clients.allocations.ListChildTrades, allocations_pb2.ListChildTradesRequest()),
        (clients.terms.ListTerms, terms_pb2.ListTermsRequest()),
        (clients.calculations.ListCalculations, calculations_pb2.ListCalculationsRequest()),
        (clients.limits.ListDailyLimits, limits_pb2.ListDailyLimitsRequest()),
        (clients.trips.ListTrips, trips_pb2.ListTripsRequest()),
    ]


async def test_another_broker_sees_nothing(scene: Scene) -> None:
    async def quiet(_: str) -> None:
        return None

    await scene.simulator.set_price("EURUSD", "1.10000", "1.10000")
    master = scene.world.masters["copy"]
    await scene.simulator.buy(master.login, "EURUSD", "1.00")
    for position in await scene.simulator.admin.positions(master.login):
        await scene.simulator.close(master.login, position["Position"])
    await Day(scene.world, scene.clients, scene.simulator, quiet).settle("one trade, closed")
    foreign = scene.stack.clients(OTHER_LABEL)
    try:
        for method, request in lists(scene.clients, scene)[:-1]:
            assert (await scene.clients.call(method, request)).ByteSize(), (
                f"{type(request).__name__}: the owner has some"
            )
        for method, request in lists(foreign, scene):
            answer = await foreign.call(method, request)
            assert not any(repeated for field, repeated in answer.ListFields() if field.name != "orders"), answer
        for method, request in gets(foreign, scene):
            with pytest.raises(NotFound):
                await foreign.call(method, request)
    finally:
        await foreign.close()
