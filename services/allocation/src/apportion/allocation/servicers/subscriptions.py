"""apportion.api.allocation.v1.SubscriptionsService."""

from __future__ import annotations

from typing import Any

import grpc
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.operations.batch_update_subscriptions import batch_update_subscriptions
from apportion.allocation.operations.create_subscription import create_subscription
from apportion.allocation.operations.desk import Desk
from apportion.allocation.operations.end_subscription import end_subscription
from apportion.allocation.operations.get_subscription import get_subscription
from apportion.allocation.operations.list_subscriptions import list_subscriptions
from apportion.allocation.operations.ports import Accounts, Positions
from apportion.allocation.operations.update_subscription import update_subscription
from apportion.allocation.wire import subscriptions as wire
from apportion.api.allocation.v1 import subscriptions_pb2, subscriptions_pb2_grpc
from apportion.rpc import caller, parse_id
from apportion.runtime import Clock
from apportion.storage import Page

Context = grpc.aio.ServicerContext[Any, Any]


class SubscriptionsServicer(subscriptions_pb2_grpc.SubscriptionsServiceServicer):
    """Parse, call, render."""

    def __init__(self, engine: AsyncEngine, desk: Desk, accounts: Accounts, positions: Positions, clock: Clock) -> None:
        self._engine = engine
        self._desk = desk
        self._accounts = accounts
        self._positions = positions
        self._clock = clock

    async def CreateSubscription(  # noqa: N802 (the RPC's name)
        self, request: subscriptions_pb2.CreateSubscriptionRequest, context: Context
    ) -> subscriptions_pb2.CreateSubscriptionResponse:
        command = wire.parse_create_subscription(request)
        now = self._clock.now()
        subscription = await create_subscription(
            self._engine, self._desk, self._accounts, self._positions, command, now=now
        )
        return subscriptions_pb2.CreateSubscriptionResponse(subscription=wire.render_subscription(subscription))

    async def GetSubscription(  # noqa: N802
        self, request: subscriptions_pb2.GetSubscriptionRequest, context: Context
    ) -> subscriptions_pb2.GetSubscriptionResponse:
        subscription_id = parse_id(request.subscription_id, "subscription_id")
        subscription = await get_subscription(self._engine, caller().label, subscription_id)
        return subscriptions_pb2.GetSubscriptionResponse(subscription=wire.render_subscription(subscription))

    async def ListSubscriptions(  # noqa: N802
        self, request: subscriptions_pb2.ListSubscriptionsRequest, context: Context
    ) -> subscriptions_pb2.ListSubscriptionsResponse:
        label, wanted = caller().label, wire.parse_subscription_filter(request)
        page = Page(request.page_size, request.page_token, "ListSubscriptions", label, wanted)
        found = await list_subscriptions(self._engine, label, wanted, after=page.after_id, limit=page.limit)
        shown, token = page.cut(found, lambda subscription: subscription.subscription_id)
        return subscriptions_pb2.ListSubscriptionsResponse(
            subscriptions=map(wire.render_subscription, shown), next_page_token=token
        )

    async def UpdateSubscription(  # noqa: N802
        self, request: subscriptions_pb2.UpdateSubscriptionRequest, context: Context
    ) -> subscriptions_pb2.UpdateSubscriptionResponse:
        command = wire.parse_update_subscription(request)
        subscription = await update_subscription(self._engine, command, now=self._clock.now())
        return subscriptions_pb2.UpdateSubscriptionResponse(subscription=wire.render_subscription(subscription))

    async def BatchUpdateSubscriptions(  # noqa: N802
        self, request: subscriptions_pb2.BatchUpdateSubscriptionsRequest, context: Context
    ) -> subscriptions_pb2.BatchUpdateSubscriptionsResponse:
        command = wire.parse_batch_update_subscriptions(request)
        updated = await batch_update_subscriptions(self._engine, command, now=self._clock.now())
        return subscriptions_pb2.BatchUpdateSubscriptionsResponse(
            changed_count=updated.changed_count,
            lot_sum_e8=updated.lot_sum_e8,
            percent_sum_e8=updated.percent_sum_e8,
        )

    async def EndSubscription(  # noqa: N802
        self, request: subscriptions_pb2.EndSubscriptionRequest, context: Context
    ) -> subscriptions_pb2.EndSubscriptionResponse:
        command = wire.parse_end_subscription(request)
        subscription = await end_subscription(self._engine, command, now=self._clock.now())
        return subscriptions_pb2.EndSubscriptionResponse(subscription=wire.render_subscription(subscription))
