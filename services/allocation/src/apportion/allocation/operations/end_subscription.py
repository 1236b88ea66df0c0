"""End a subscription, in one of three ways."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.allocation.domain.copy_settings import LeavePolicy
from apportion.allocation.domain.subscriptions import Subscription, ended
from apportion.allocation.errors import RecordsOpen
from apportion.allocation.operations.decide_close_trade import follow_up_closes
from apportion.allocation.operations.project_children import project_allocation
from apportion.allocation.storage.allocations import list_unprojected_of_master
from apportion.allocation.storage.master_positions import load_position
from apportion.allocation.storage.masters import load_master, next_set_version
from apportion.allocation.storage.subscription_children import (
    detach,
    has_open_records,
    list_followed_positions,
    want_closed,
)
from apportion.allocation.storage.subscriptions import load_subscription, save_subscriptions
from apportion.storage import RequestKey, claim_request, store_answer, transaction


@dataclass(frozen=True, slots=True)
class EndSubscription:
    """The command. None: as the subscription's settings say."""

    key: RequestKey
    subscription_id: int
    leave_policy: LeavePolicy | None


async def end_subscription(engine: AsyncEngine, command: EndSubscription, *, now: datetime) -> Subscription:
    """The ended subscription; LEAVING while its open children follow their master to the end.

    CLOSE decides the close of every child in the same transaction; a child whose open order has no result yet is
    closed when it fills, under DETACH too, which leaves the filled ones to the investor.
    Artificial records have nothing that could be closed or handed over before their master closes: CLOSE_WITH_MASTER
    is the only way to leave them. Raises NotFound, SubscriptionEnded or RecordsOpen.
    """
    async with transaction(engine) as tx:
        if (stored := await claim_request(tx, command.key, Subscription, now=now)) is not None:
            return stored
        label = command.key.label
        master_id = (await load_subscription(tx, label, command.subscription_id)).master_id
        master = await load_master(tx, label, master_id, lock="update")
        before = await load_subscription(tx, label, command.subscription_id, for_update=True)
        for allocation_id in await list_unprojected_of_master(tx, master_id):
            await project_allocation(tx, label, allocation_id, now=now)
        # The positions before their children, as everywhere.
        positions = await list_followed_positions(tx, before.subscription_id)
        for position_ticket in positions:
            await load_position(tx, master_id, position_ticket)
        policy = command.leave_policy or before.settings.leave_policy
        if policy is not LeavePolicy.CLOSE_WITH_MASTER and await has_open_records(tx, before.subscription_id):
            raise RecordsOpen(subscription_id=before.subscription_id, leave_policy=policy.name)
        after = ended(before, policy, has_open_children=bool(positions), now=now)
        await save_subscriptions(tx, [after])
        await next_set_version(tx, master_id, active_change=-int(before.active))
        if policy is LeavePolicy.DETACH:
            await detach(tx, before.subscription_id)
        if policy is LeavePolicy.CLOSE:
            await want_closed(tx, before.subscription_id)
        for position_ticket in positions if policy is not LeavePolicy.CLOSE_WITH_MASTER else ():
            await follow_up_closes(tx, master, position_ticket, now=now)
        await store_answer(tx, command.key, after)
        return after
