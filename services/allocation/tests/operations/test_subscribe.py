"""Two followings of one account at the same moment."""

from __future__ import annotations

import asyncio

from apportion.allocation.domain.accounts import AccountKind
from apportion.allocation.domain.copy_settings import DEFAULT_SETTINGS
from apportion.allocation.domain.methods import AccountType, AllocationMethod
from apportion.allocation.domain.subscriptions import Parameters, Subscription
from apportion.allocation.errors import SeveralMasters
from apportion.allocation.operations.create_subscription import CreateSubscription, create_subscription
from apportion.money import E8
from apportion.storage import RequestKey

ACCOUNTS = range(101, 109)


async def test_an_account_does_not_follow_copy_and_mam_masters_whoever_is_first(house):
    """The masters' rows are not the same, so their locks do not keep the two apart."""
    copied = await house.master(AllocationMethod.COPY_BY_EQUITY, account_id=64)
    pooled = await house.master(AllocationMethod.RATIO_MULTIPLIER, account_id=65)
    assert (copied.account_type, pooled.account_type) == (AccountType.COPY, AccountType.MAM)

    async def subscribe(number, master, account_id):
        key = RequestKey(1, "test", f"00000000-0000-4000-8000-{number:012}", b"")
        command = CreateSubscription(key, master.master_id, account_id, Parameters(ratio_e8=E8), DEFAULT_SETTINGS)
        return await create_subscription(
            house.engine, house.desk, house.accounts, house.positions, command, now=house.clock.now()
        )

    for number, account_id in enumerate(ACCOUNTS):
        house.add_account(account_id, AccountKind.INVESTMENT)
        results = await asyncio.gather(
            subscribe(2 * number, copied, account_id),
            subscribe(2 * number + 1, pooled, account_id),
            return_exceptions=True,
        )
        assert {type(result) for result in results} == {Subscription, SeveralMasters}, results
