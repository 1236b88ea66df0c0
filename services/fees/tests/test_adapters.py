from __future__ import annotations

import inspect
import uuid

import pytest
from fees_world import LABEL

from apportion.api.allocation.v1 import masters_pb2, masters_pb2_grpc, subscriptions_pb2, subscriptions_pb2_grpc
from apportion.api.platform_groups.v1 import transfers_pb2, transfers_pb2_grpc
from apportion.errors import KillSwitchOn, NotFound
from apportion.fees.adapters.allocation import AllocationSubscriptions
from apportion.fees.adapters.platform_groups import PlatformTransfers
from apportion.fees.domain.charge import ReadyTransfer
from apportion.fees.domain.terms import Parties
from apportion.fees.operations.dispatch_transfers import batches
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
            master_id=request.master_id, account_id=43, wallet_account_id=9, currency_code="USD"
        )
        return masters_pb2.GetMasterResponse(master=master)


class Transfers(transfers_pb2_grpc.TransfersServiceServicer):
    def __init__(self) -> None:
        self.requests: list[transfers_pb2.BatchTransferFundsRequest] = []

    async def BatchTransferFunds(self, request, context):
        if self.requests:
            raise KillSwitchOn
        self.requests.append(request)
        return transfers_pb2.BatchTransferFundsResponse(accepted_count=len(request.item_ids))


async def test_the_parties_are_the_subscriber_and_the_masters_wallet():
    def add(server) -> None:
        subscriptions_pb2_grpc.add_SubscriptionsServiceServicer_to_server(whole(Subscriptions()), server)
        masters_pb2_grpc.add_MastersServiceServicer_to_server(whole(Masters()), server)

    async with running_server(add) as channel:
        allocation = AllocationSubscriptions(channel, call_seconds=5)
        assert await allocation.parties(LABEL, 7) == Parties(7, 3, 47, 9, "USD")
        with pytest.raises(NotFound):
            await allocation.parties(2, 7)


async def test_a_batch_travels_in_columns_and_refusals_come_back_typed():
    servicer = Transfers()
    rows = [ReadyTransfer(item, LABEL, 3, "USD", 40 + item, 9, 700 + item) for item in (5, 6)]
    (batch,) = batches(rows)
    async with running_server(
        lambda server: transfers_pb2_grpc.add_TransfersServiceServicer_to_server(whole(servicer), server)
    ) as channel:
        platform = PlatformTransfers(channel, call_seconds=5)
        await platform.submit(batch)
        with pytest.raises(KillSwitchOn):
            await platform.submit(batch)
    (request,) = servicer.requests
    assert uuid.UUID(request.request_id) == batch.request_id
    assert (request.source, request.ordering_key, request.currency_code) == ("fees", 3, "USD")
    assert list(request.item_ids) == [5, 6]
    assert list(request.debit_account_ids) == [45, 46]
    assert list(request.credit_account_ids) == [9, 9]
    assert list(request.amounts_minor) == [705, 706]
