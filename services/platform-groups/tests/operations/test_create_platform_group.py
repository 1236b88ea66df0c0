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
from apportion.platform_groups.errors import MarginModeUnsupported
from apportion.platform_groups.operations.create_platform_group import create_platform_group
from apportion.runtime.clock import FixedClock
from apportion.storage import RequestKey


class Server:
    """A trading server with one group."""

    def __init__(self, margin_mode: int) -> None:
        self._group = Group(group="demo", currency="USD", margin_mode=margin_mode)

    async def get(self, _trading_server_id: int) -> Server:
        return self

    async def group(self, _name: str) -> ServerGroup:
        return group_of(self._group)


async def create(engine: AsyncEngine, clock: FixedClock, margin_mode: int) -> PlatformGroup:
    group = NewGroup(SERVER_ID, "new", "demo", "USD", 100, 0, 1, (), 0)
    key = RequestKey(1, "CreatePlatformGroup", str(uuid.uuid4()), bytes(32))
    return await create_platform_group(engine, Server(margin_mode), key, group, now=clock.now())  # type: ignore[arg-type]


@pytest.mark.parametrize(("mode", "kept"), [(0, MarginMode.NETTING), (2, MarginMode.HEDGING)])
async def test_the_margin_mode_of_the_server_is_kept(engine, clock, mode, kept) -> None:
    assert (await create(engine, clock, mode)).margin_mode is kept


@pytest.mark.parametrize("mode", [1, 3])
async def test_exchange_and_unknown_margin_modes_are_refused(engine, clock, mode) -> None:
    with pytest.raises(MarginModeUnsupported) as caught:
        await create(engine, clock, mode)
    assert caught.value.reason == "MARGIN_MODE_UNSUPPORTED"
    assert caught.value.metadata["serverGroup"] == "demo"
