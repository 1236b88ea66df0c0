"""A group is made only of a server group that we can follow."""

from __future__ import annotations

import uuid

import pytest
from platform_world import SERVER_ID
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.mt5.groups import Group
from apportion.platform_groups.adapters.mt5_facts import group_of
from apportion.platform_groups.domain.platform_groups import NewGroup, PlatformGroup
from apportion.platform_groups.domain.server_facts import ServerGroup
from apportion.platform_groups.domain.states import MarginMode
from apportion.platform_groups.errors import CurrencyDigitsUnsupported, MarginModeUnsupported
from apportion.platform_groups.operations.create_platform_group import create_platform_group
from apportion.platform_groups.wire.platform_groups import render_group
from apportion.runtime.clock import FixedClock
from apportion.storage import RequestKey


class Server:
    """A trading server with one group."""

    def __init__(self, **group: object) -> None:
        self._group = Group(**{"group": "demo", "currency": "USD", "margin_mode": 2} | group)  # type: ignore[arg-type]

    async def get(self, _trading_server_id: int) -> Server:
        return self

    async def group(self, _name: str) -> ServerGroup:
        return group_of(self._group)


async def create(engine: AsyncEngine, clock: FixedClock, currency: str = "USD", **on_server: object) -> PlatformGroup:
    group = NewGroup(SERVER_ID, "new", "demo", currency, 100, 0, 1, (), 0)
    key = RequestKey(1, "CreatePlatformGroup", str(uuid.uuid4()), bytes(32))
    server = Server(currency=currency, **on_server)
    return await create_platform_group(engine, server, key, group, now=clock.now())  # type: ignore[arg-type]


@pytest.mark.parametrize(("mode", "kept"), [(0, MarginMode.NETTING), (2, MarginMode.HEDGING)])
async def test_the_margin_mode_of_the_server_is_kept(engine, clock, mode, kept) -> None:
    assert (await create(engine, clock, margin_mode=mode)).margin_mode is kept


@pytest.mark.parametrize("mode", [1, 3])
async def test_exchange_and_unknown_margin_modes_are_refused(engine, clock, mode) -> None:
    with pytest.raises(MarginModeUnsupported) as caught:
        await create(engine, clock, margin_mode=mode)
    assert caught.value.reason == "MARGIN_MODE_UNSUPPORTED"
    assert caught.value.metadata["serverGroup"] == "demo"


@pytest.mark.parametrize(("currency", "digits"), [("JPY", 2), ("JPY", 0), ("USC", 2), ("BTC", 8), ("USDT", 6)])
async def test_the_digits_of_the_server_are_kept_whatever_the_currency(engine, clock, currency, digits) -> None:
    group = await create(engine, clock, currency, currency_digits=digits)
    assert (group.currency_code, group.currency_digits) == (currency, digits)
    assert render_group(group).currency_digits == digits


@pytest.mark.parametrize("digits", [-1, 9])
async def test_digits_that_no_money_has_are_refused(engine, clock, digits) -> None:
    with pytest.raises(CurrencyDigitsUnsupported) as caught:
        await create(engine, clock, currency_digits=digits)
    assert caught.value.reason == "CURRENCY_DIGITS_UNSUPPORTED"
