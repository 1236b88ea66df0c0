"""The rules of changing subscriptions of one master, in a transaction of the caller."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.ext.asyncio import AsyncConnection

from apportion.allocation.domain.masters import Master
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.domain.subscriptions import Subscription, SubscriptionChange, changed, check_sign
from apportion.allocation.errors import PercentSum
from apportion.allocation.storage.masters import next_set_version
from apportion.allocation.storage.subscriptions import (
    ParameterSums,
    load_parameter_sums,
    load_subscriptions,
    save_subscriptions,
)
from apportion.errors import NotFound
from apportion.money import E8

FULL_PERCENT_E8 = 100 * E8


async def change_subscriptions(
    tx: AsyncConnection, master: Master, changes: Mapping[int, SubscriptionChange]
) -> tuple[list[Subscription], ParameterSums]:
    """All of the changes, by subscription id, or none. The master's row must be locked for update.

    Returns the subscriptions in the order of their ids, and the sums after the changes. Raises NotFound, PercentSum
    and what `changed` and `check_sign` raise.
    """
    before = await load_subscriptions(tx, master.label, master.master_id, changes)
    unknown = changes.keys() - before.keys()
    if unknown:
        raise NotFound("subscription", min(unknown))
    after = [changed(subscription, changes[subscription_id]) for subscription_id, subscription in before.items()]
    new = [subscription for subscription in after if subscription is not before[subscription.subscription_id]]
    for subscription in new:
        if subscription.settings != before[subscription.subscription_id].settings:
            check_sign(master, subscription)
    if new:
        await save_subscriptions(tx, new)
        active_change = sum(int(s.active) - int(before[s.subscription_id].active) for s in new)
        await next_set_version(tx, master.master_id, active_change=active_change)
    return after, await check_sums(tx, master)


async def check_sums(tx: AsyncConnection, master: Master) -> ParameterSums:
    """The sums over the active subscriptions. Raises PercentSum when a dividing master's percents pass 100."""
    sums = await load_parameter_sums(tx, master.master_id)
    if master.method is AllocationMethod.DIVIDE_BY_PERCENT and sums.percent_e8 > FULL_PERCENT_E8:
        raise PercentSum(master_id=master.master_id, percent_sum_e8=sums.percent_e8)
    return sums
