"""allocation over gRPC: masters and subscriptions."""

from __future__ import annotations

import grpc

from apportion.api.allocation.v1 import masters_pb2, masters_pb2_grpc, subscriptions_pb2, subscriptions_pb2_grpc
from apportion.auth_gateway.domain.reads import Master, Page, PageRequest, Subscription
from apportion.money import currency_digits
from apportion.rpc import call_options, from_timestamp, given

CALL_SECONDS = 2.0


class AllocationMasters:
    """The port `Masters`."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._masters = masters_pb2_grpc.MastersServiceStub(channel)
        self._subscriptions = subscriptions_pb2_grpc.SubscriptionsServiceStub(channel)

    async def list_leaderboard(self, label: int, page: PageRequest) -> Page[Master]:
        return await self._list(label, masters_pb2.ListMastersRequest(only_listed_on_leaderboard=True), page)

    async def list_own(self, label: int, wallet_account_id: int, page: PageRequest) -> Page[Master]:
        return await self._list(label, masters_pb2.ListMastersRequest(wallet_account_id=wallet_account_id), page)

    async def list_subscriptions(self, label: int, wallet_account_id: int, page: PageRequest) -> Page[Subscription]:
        request = subscriptions_pb2.ListSubscriptionsRequest(
            wallet_account_id=wallet_account_id, page_size=page.size, page_token=page.token
        )
        response = await self._subscriptions.ListSubscriptions(request, **call_options(label, CALL_SECONDS))
        return Page([_subscription(item) for item in response.subscriptions], response.next_page_token)

    async def _list(self, label: int, request: masters_pb2.ListMastersRequest, page: PageRequest) -> Page[Master]:
        request.page_size, request.page_token = page.size, page.token
        response = await self._masters.ListMasters(request, **call_options(label, CALL_SECONDS))
        return Page([_master(item) for item in response.masters], response.next_page_token)


def _master(message: masters_pb2.Master) -> Master:
    return Master(
        master_id=message.master_id,
        name=message.name,
        account_type=masters_pb2.AccountType.Name(message.account_type).removeprefix("ACCOUNT_TYPE_").lower(),
        method=masters_pb2.AllocationMethod.Name(message.method).removeprefix("ALLOCATION_METHOD_").lower(),
        state=masters_pb2.MasterState.Name(message.state).removeprefix("MASTER_STATE_").lower(),
        currency_code=message.currency_code,
        currency_digits=currency_digits(message.currency_code, given(message, "currency_digits")),
        min_follower_equity_minor=message.min_follower_equity_minor,
        active_subscription_count=message.active_subscription_count,
        account_id=message.account_id,
        account_login=message.account_login,
        wallet_account_id=message.wallet_account_id,
        create_time=from_timestamp(message.create_time, "master.create_time"),
    )


def _subscription(message: subscriptions_pb2.Subscription) -> Subscription:
    return Subscription(
        subscription_id=message.subscription_id,
        master_id=message.master_id,
        account_id=message.account_id,
        account_login=message.account_login,
        active=message.active,
        ratio_e8=message.ratio_e8,
        lot_e8=message.lot_e8,
        percent_e8=message.percent_e8,
        create_time=from_timestamp(message.create_time, "subscription.create_time"),
    )
