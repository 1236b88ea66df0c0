from __future__ import annotations

import inspect

import pytest
from fees_world import LABEL

from apportion.api.allocation.v1 import masters_pb2, masters_pb2_grpc, subscriptions_pb2, subscriptions_pb2_grpc
from apportion.api.platform_groups.v1 import accounts_pb2, accounts_pb2_grpc
from apportion.errors import NotFound
from apportion.fees.adapters.allocation import AllocationSubscriptions
from apportion.fees.adapters.platform_groups import PlatformWallets
from apportion.fees.domain.terms import Currency, Parties
from apportion.rpc import caller
from apportion.testing.servers import running_server


def whole(servicer):
    """With a method for every RPC, as the server demands; those that the stub lacks only fail."""

    async def unused(request, context):
        raise AssertionError("not part of this test")

    for name in dir(type(servicer)):
        if name[0].isupper() and not inspect.iscoroutinefunction(getattr(servicer, name)):
            setattr(servicer, name, unused)
    return servicer


class Subscriptions(subscriptions_pb2_grpc.SubscriptionsServiceServicer):
    async def GetSubscription(self, request, context):
        if request.subscription_id != 7 or caller().label != LABEL:
            raise NotFound("subscription", request.subscription_id)
        subscription = subscriptions_pb2.Subscription(
            subscription_id=7, master_id=3, account_id=47, wallet_account_id=8
        )
        return subscriptions_pb2.GetSubscriptionResponse(subscription=subscription)


class Masters(masters_pb2_grpc.MastersServiceServicer):
    async def GetMaster(self, request, context):
        master = masters_pb2.Master(
            master_id=request.master_id, account_id=43, wallet_account_id=9, currency_code="JPY", currency_digits=2
        )
        return masters_pb2.GetMasterResponse(master=master)


async def test_the_parties_are_the_subscriber_and_the_masters_wallet():
    def add(server) -> None:
        subscriptions_pb2_grpc.add_SubscriptionsServiceServicer_to_server(whole(Subscriptions()), server)
        masters_pb2_grpc.add_MastersServiceServicer_to_server(whole(Masters()), server)

    async with running_server(add) as channel:
        allocation = AllocationSubscriptions(channel, call_seconds=5)
        assert await allocation.parties(LABEL, 7) == Parties(7, 3, 47, 9, Currency("JPY", 2))
        with pytest.raises(NotFound):
            await allocation.parties(2, 7)


class Accounts(accounts_pb2_grpc.AccountsServiceServicer):
    async def GetAccount(self, request, context):
        if request.account_id != 9 or caller().label != LABEL:
            raise NotFound("account", request.account_id)
        return accounts_pb2.GetAccountResponse(account=accounts_pb2.Account(currency_code="USC", currency_digits=3))


async def test_the_currency_of_a_wallet_is_what_its_server_counts():
    async with running_server(
        lambda server: accounts_pb2_grpc.add_AccountsServiceServicer_to_server(whole(Accounts()), server)
    ) as channel:
        wallets = PlatformWallets(channel, call_seconds=5)
        assert await wallets.currency(LABEL, 9) == Currency("USC", 3)
        with pytest.raises(NotFound):
            await wallets.currency(LABEL, 8)
