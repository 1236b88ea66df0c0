"""Rights on the server are what was wished for last, however many wish at once and whatever gets lost."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from apportion.api.platform_groups.v1 import accounts_pb2, trading_pb2
from apportion.errors import DomainError
from apportion.mt5_simulator.process import AdminRefused
from apportion.storage import transaction
from apportion.testing.polling import eventually

FULL, READ_ONLY = accounts_pb2.ACCOUNT_ACCESS_FULL, accounts_pb2.ACCOUNT_ACCESS_READ_ONLY
UPDATE = "user/update"
NOT_YET = {"TRADING_SERVER_UNAVAILABLE", "DEADLINE_EXCEEDED"}
"""The channel asks again by itself, so it may be its deadline that ends the call."""


def wish(platform, account, access: int) -> accounts_pb2.SetAccountAccessRequest:
    return accounts_pb2.SetAccountAccessRequest(
        request_id=platform.new_id(), account_id=account.account_id, access=access, cause="test"
    )


async def may_trade(simulator, account) -> bool:
    try:
        deal = await simulator.buy(account.login, "EURUSD", "0.01")
    except AdminRefused as error:
        if "10017" not in str(error):
            raise
        return False
    await simulator.close_position(account.login, int(deal["PositionID"]))
    return True


async def test_access_is_changed_on_the_server_and_a_repeat_never_undoes_a_newer_one(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        closed, opened = wish(platform, account, READ_ONLY), wish(platform, account, FULL)
        await platform.submit("before", [(account.account_id, 1_000_000)])
        ticket = (await platform.finished("before")).position_tickets[0]
        response = await platform.accounts.SetAccountAccess(closed, **platform.options())
        assert response.account.access == READ_ONLY
        assert not await may_trade(simulator, account)
        await platform.submit("after", [(account.account_id, 1_000_000)])
        assert "ACCOUNT_READ_ONLY" in (await platform.finished("after")).reasons
        await platform.submit("close", [(account.account_id, -1_000_000)], tickets=[ticket])
        assert list((await platform.finished("close")).states) == [trading_pb2.ORDER_STATE_FILLED]
        await platform.accounts.SetAccountAccess(opened, **platform.options())
        replay = await platform.accounts.SetAccountAccess(closed, **platform.options())
        assert replay.account.access == FULL
        assert await may_trade(simulator, account)


async def test_the_last_of_many_wishes_at_once_is_what_the_server_has(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        for skip in (0, 2, 3):
            await simulator.add_fault("latency", endpoint=UPDATE, seconds=0.1, skip=skip, count=1)
        await simulator.add_fault("lose_answer", endpoint=UPDATE, skip=1, count=1)
        wishes = [wish(platform, account, access) for access in (READ_ONLY, FULL) * 6]
        await asyncio.gather(*(platform.accounts.SetAccountAccess(each, **platform.options()) for each in wishes))
        async with transaction(platform.engine) as tx:
            row = (await tx.execute(text("SELECT access, wanted_access, access_settled FROM accounts"))).one()
            rows = await tx.execute(text("SELECT access FROM access_changes"))
            assert len(rows.all()) == len(wishes), "each wish has its audit row"
        assert row.access_settled
        assert row.access == row.wanted_access
        assert await may_trade(simulator, account) == (row.access == FULL)


async def test_a_wish_outlives_a_server_that_is_away(start, simulator) -> None:
    async with start() as platform:
        await platform.set_up(simulator)
        account = await platform.account(balance_minor=1_000_000)
        fault = await simulator.add_fault("disconnect", endpoint=UPDATE, count=None)
        request = wish(platform, account, READ_ONLY)
        asking = asyncio.ensure_future(platform.accounts.SetAccountAccess(request, **platform.options()))

        async def tried() -> bool:
            return await simulator.fired(fault) > 0

        await eventually(tried, 60)
        assert await may_trade(simulator, account)
        asking.cancel()
        with pytest.raises(DomainError) as caught:
            await platform.accounts.SetAccountAccess(request, **platform.options(1.0))
        assert caught.value.reason in NOT_YET
        await simulator.clear_faults()

        async def closed() -> bool:
            return (await platform.get(account.account_id)).access == READ_ONLY

        await eventually(closed, 60)
        assert not await may_trade(simulator, account)
