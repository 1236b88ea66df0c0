"""allocation, as this service asks it."""

from __future__ import annotations

import grpc

from apportion.api.allocation.v1 import masters_pb2, masters_pb2_grpc, subscriptions_pb2, subscriptions_pb2_grpc
from apportion.fees.domain.terms import Currency, Parties
from apportion.money import currency_digits
from apportion.rpc import call_options, given


class AllocationSubscriptions:
    """Subscriptions and their masters over gRPC."""

    def __init__(self, channel: grpc.aio.Channel, call_seconds: float) -> None:
        self._subscriptions = subscriptions_pb2_grpc.SubscriptionsServiceStub(channel)
        self._masters = masters_pb2_grpc.MastersServiceStub(channel)
        self._call_seconds = call_seconds

    async def parties(self, label: int, subscription_id: int) -> Parties:
        """Raises NotFound for a subscription that the label does not have."""
        options = call_options(label, self._call_seconds)
        found = await self._subscriptions.GetSubscription(
            subscriptions_pb2.GetSubscriptionRequest(subscription_id=subscription_id), **options
        )
        subscription = found.subscription
        answer = await self._masters.GetMaster(
            masters_pb2.GetMasterRequest(master_id=subscription.master_id), **options
        )
        master = answer.master
        digits = currency_digits(master.currency_code, given(master, "currency_digits"))
        return Parties(
            subscription_id=subscription_id,
            master_id=subscription.master_id,
            payer_account_id=subscription.account_id,
            payee_account_id=master.wallet_account_id,
            currency=Currency(master.currency_code, digits),
        )
