"""Artificial records while they are open: what they show, and how to leave them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

import numpy as np
import pytest

from apportion.allocation.domain.copy_settings import LeavePolicy
from apportion.allocation.domain.methods import AllocationMethod, AllocationMode
from apportion.allocation.domain.positions import PositionReport
from apportion.allocation.domain.subscriptions import SubscriptionState
from apportion.allocation.errors import OpenTrades, RecordsOpen
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.get_subscription import get_subscription
from apportion.allocation.operations.refresh_floating import refresh_floating
from apportion.allocation.operations.update_master import MasterChange, UpdateMaster, update_master
from apportion.allocation.workers.floating import Floating
from apportion.api.platform_groups.v1 import events_pb2
from apportion.errors import UpstreamUnavailable
from apportion.money import E8
from apportion.runtime import Background
from apportion.storage import RequestKey
from apportion.testing.polling import eventually

OUT = events_pb2.DEAL_ENTRY_OUT


@dataclass
class StubPositions:
    """The floating profit of positions by ticket, as the server would tell it."""

    clock: object
    floating_minor: dict[int, int] = field(default_factory=dict)
    asked: list[list[int]] = field(default_factory=list)
    is_away: bool = False
    age_seconds: float = 0

    async def report(self, label, account_ids) -> PositionReport:
        if self.is_away:
            raise UpstreamUnavailable(service="platform-groups")
        self.asked.append(list(account_ids))
        tickets = np.array(list(self.floating_minor), dtype=np.int64)
        nothing = np.zeros(tickets.shape, dtype=np.int64)
        return PositionReport(
            observed_time=self.clock.now() - timedelta(seconds=self.age_seconds),
            account_ids=np.full(tickets.shape, 64),
            position_tickets=tickets,
            symbols=["EURUSD"] * tickets.size,
            volumes_e8=nothing,
            open_prices_e8=nothing,
            order_ids=nothing,
            floating_minor=np.array(list(self.floating_minor.values()), dtype=np.int64),
        )


async def pooled(house, *equities_minor):
    master = await house.master(AllocationMethod.DIVIDE_BY_EQUITY, allocation_mode=AllocationMode.PROFIT)
    for number, equity_minor in enumerate(equities_minor):
        await house.follower(master, 101 + number, equity_minor=equity_minor)
    return master


async def floating(house):
    await house.project()
    return [child.floating_profit_minor for child in await house.children()]


class TestFloating:
    async def test_each_record_shows_its_share_of_its_position(self, house):
        await pooled(house, 3, 1)
        await house.deal(64, 1.0, position=900)
        await house.deal(64, 1.0, position=901)
        positions = StubPositions(house.clock, {900: 1_000, 901: -6, 999: 5})
        assert await refresh_floating(house.engine, positions, 1, 7) == 2
        assert positions.asked == [[64]]
        assert await floating(house) == [750, 250, -5, -2]  # 4.5 and 1.5, each by itself

    async def test_openings_of_one_position_share_by_what_is_open_of_them(self, house):
        master = await pooled(house, 1)
        await house.deal(64, 1.0, position=900)
        await house.follower(master, 102, equity_minor=1)
        await house.deal(64, 3.0, position=900)
        await refresh_floating(house.engine, StubPositions(house.clock, {900: 800}), 1, 7)
        assert await floating(house) == [200, 300, 300]

    async def test_newer_news_win_and_an_outage_changes_nothing(self, house):
        await pooled(house, 1)
        await house.deal(64, 1.0, position=900)
        positions = StubPositions(house.clock, {900: 100})
        await refresh_floating(house.engine, positions, 1, 7)
        positions.floating_minor, positions.age_seconds = {900: 50}, 1
        await refresh_floating(house.engine, positions, 1, 7)
        assert await floating(house) == [100]
        positions.is_away = True
        assert await refresh_floating(house.engine, positions, 1, 7) == 0
        assert await floating(house) == [100]

    async def test_closed_records_float_no_more(self, house):
        await pooled(house, 1)
        await house.deal(64, 1.0, position=900)
        positions = StubPositions(house.clock, {900: 100})
        await refresh_floating(house.engine, positions, 1, 7)
        await house.deal(64, -1.0, position=900, entry=OUT)
        assert await floating(house) == [0]
        assert await refresh_floating(house.engine, positions, 1, 7) == 0

    async def test_the_loop_looks_again_and_again(self, house):
        await pooled(house, 1)
        await house.deal(64, 1.0, position=900)
        positions = StubPositions(house.clock, {900: 100})
        other = StubPositions(house.clock, {900: 100})
        workers = [
            Floating(house.engine, asked, owner, house.clock, pause_seconds=0.01)
            for asked, owner in ((positions, "one"), (other, "other"))
        ]
        async with Background() as background:
            background.spawn("floating", workers[0].run)
            await eventually(lambda: len(positions.asked) > 2)
            background.spawn("floating_too", workers[1].run)
            before = len(positions.asked)
            await eventually(lambda: len(positions.asked) > before + 20)
        assert other.asked == [], "one asks for all"


class TestLeaving:
    @pytest.mark.parametrize("policy", [None, LeavePolicy.CLOSE, LeavePolicy.DETACH])
    async def test_open_records_cannot_be_closed_nor_detached(self, house, policy):
        master = await pooled(house, 1)
        leaver = await house.follower(master, 110, equity_minor=1)
        await house.deal(64, 1.0, position=900)
        with pytest.raises(RecordsOpen):
            await house.end(leaver, policy)

    async def test_who_leaves_is_settled_with_the_master_and_then_gone(self, house):
        master = await pooled(house, 1)
        leaver = await house.follower(master, 110, equity_minor=1)
        await house.deal(64, 2.0, position=900)
        assert (await house.end(leaver, LeavePolicy.CLOSE_WITH_MASTER)).state is SubscriptionState.LEAVING
        await house.deal(64, 1.0, position=901)
        await house.deal(64, -1.0, position=900, entry=OUT, money=(10, 0, 0))
        await follow_up_positions(house.engine, now=house.clock.now())
        assert await self.state(house, leaver) is SubscriptionState.LEAVING
        await house.deal(64, -1.0, position=900, entry=OUT, money=(10, 0, 0))
        await house.project()
        await follow_up_positions(house.engine, now=house.clock.now())
        assert await self.state(house, leaver) is SubscriptionState.ENDED
        assert [child.proportion_e9 for child in await house.children()] == [E8 * 5, E8 * 5, E8 * 10]

    async def test_without_open_records_any_way_is_open(self, house):
        master = await pooled(house, 1)
        leaver = await house.follower(master, 110, equity_minor=1)
        await house.deal(64, 1.0, position=900)
        await house.deal(64, -1.0, position=900, entry=OUT)
        assert (await house.end(leaver, LeavePolicy.CLOSE)).state is SubscriptionState.ENDED

    async def state(self, house, subscription):
        return (await get_subscription(house.engine, 1, subscription.subscription_id)).state


async def test_the_mode_stays_while_records_are_open(house):
    master = await pooled(house, 1)
    await house.deal(64, 1.0, position=900)
    key = RequestKey(1, "test", "00000000-0000-4000-8000-000000000001", b"hash")
    change = MasterChange(allocation_mode=AllocationMode.TRADES)
    with pytest.raises(OpenTrades):
        await update_master(house.engine, UpdateMaster(key, master.master_id, change), now=house.clock.now())


async def test_follow_ups_leave_records_alone(house):
    await pooled(house, 3, 1)
    await house.deal(64, 1.0, position=900)
    await house.deal(64, -0.5, position=900, entry=OUT)
    await house.project()
    assert await follow_up_positions(house.engine, now=house.clock.now()) == []
    assert await house.dispatch() == []
