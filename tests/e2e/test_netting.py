"""Netting accounts on either side, on real positions: a follower who nets, and a master who turns around."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from apportion.api.allocation.v1 import allocations_pb2, masters_pb2, subscriptions_pb2
from apportion.api.platform_groups.v1 import accounts_pb2, trading_pb2
from apportion.devstack.clients import request_id
from apportion.devstack.scene import Scene, open_scene
from apportion.devstack.world import HEDGE_GROUP, create_group
from apportion.testing.polling import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("netting")]

NETTING_GROUP = "demo\\forex-netting-usd"
# An order that is held up on its way is not taken for lost.
SETTINGS = {"PLATFORM_GROUPS_SERVER_TIMEOUT_SECONDS": "60", "PLATFORM_GROUPS_ANSWER_TIMEOUT_SECONDS": "60"}
HELD_UP_SECONDS = 600.0
"""Or until the faults are cleared."""
INVESTOR_COUNT = 9
DEPOSIT_MINOR = 10_000_000


class Desk:
    """Accounts made for these tests beside the scene's world."""

    def __init__(self, scene: Scene, netting_group_id: int, hedging_group_id: int) -> None:
        self.scene = scene
        self.netting_group_id = netting_group_id
        self.hedging_group_id = hedging_group_id

    async def account(self, key: str, kind: accounts_pb2.AccountKind.ValueType, *, nets: bool) -> accounts_pb2.Account:
        """An account of 100 000 USD with a wallet of its own."""
        clients, wallet_id = self.scene.clients, 0
        kinds = ((accounts_pb2.ACCOUNT_KIND_WALLET, False), (kind, nets))
        for number, (each, in_netting_group) in enumerate(kinds):
            request = accounts_pb2.CreateAccountRequest(
                request_id=request_id("netting", key, number),
                platform_group_id=self.netting_group_id if in_netting_group else self.hedging_group_id,
                kind=each,
                holder_name=key,
                wallet_account_id=wallet_id,
                initial_balance_minor=DEPOSIT_MINOR if number else 0,
            )
            account = (await clients.call(clients.accounts.CreateAccount, request)).account
            wallet_id = account.account_id
        return account

    async def subscribe(self, key: str, master_id: int, account_id: int, *, ignore_stops: bool) -> int:
        clients = self.scene.clients
        request = subscriptions_pb2.CreateSubscriptionRequest(
            request_id=request_id("netting", key),
            master_id=master_id,
            account_id=account_id,
            ratio_e8=10**8,
            settings=subscriptions_pb2.CopySettings(ignore_stops=ignore_stops),
        )
        answer = await clients.call(clients.subscriptions.CreateSubscription, request)
        return int(answer.subscription.subscription_id)

    async def positions(self, login: int) -> list[tuple[Decimal, str, str]]:
        """(signed lots, stop loss, take profit), the oldest first."""
        found = await self.scene.simulator.admin.positions(login)
        return [(_lots(each), each["PriceSL"], each["PriceTP"]) for each in found]

    async def become(self, login: int, lots: list[str]) -> None:
        """Waits for these positions."""
        wanted = [Decimal(each) for each in lots]

        async def are_so() -> bool:
            return [each for each, _, _ in await self.positions(login)] == wanted

        await eventually(are_so)

    async def excess(self, subscription_id: int) -> list[tuple[int, int]]:
        """Filled and open volumes, signed, of what closes did too much."""
        clients = self.scene.clients
        request = allocations_pb2.ListChildTradesRequest(subscription_id=subscription_id)
        pages = clients.pages(clients.allocations.ListChildTrades, request)
        children = [child for page in [page async for page in pages] for child in page.child_trades]
        return [(child.filled_volume_e8, child.open_volume_e8) for child in children if not child.volume_e8]

    async def open_children(self, subscription_id: int) -> list[int]:
        """Signed open volumes of the children that have any, the oldest first."""
        clients = self.scene.clients
        request = allocations_pb2.ListChildTradesRequest(subscription_id=subscription_id, only_open=True)
        pages = clients.pages(clients.allocations.ListChildTrades, request)
        children = [child for page in [page async for page in pages] for child in page.child_trades]
        return [child.open_volume_e8 for child in sorted(children, key=lambda child: child.child_trade_id)]

    async def children_become(self, subscription_id: int, lots: list[str]) -> None:
        wanted = [int(Decimal(each) * 10**8) for each in lots]

        async def are_so() -> bool:
            return await self.open_children(subscription_id) == wanted

        await eventually(are_so)


def _lots(position: dict[str, Any]) -> Decimal:
    lots = Decimal(position["VolumeExt"]) / 10**8
    return lots if position["Action"] == "0" else -lots


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(folder: Path) -> AsyncIterator[Scene]:
    async with open_scene(folder, investor_count=INVESTOR_COUNT, settings=SETTINGS) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def desk(scene: Scene) -> Desk:
    await scene.simulator.set_price("EURUSD", "1.10000", "1.10000")
    clients, server_id = scene.clients, scene.world.trading_server_id
    netting = await create_group(clients, server_id, "Netting USD", NETTING_GROUP)
    hedging = await create_group(clients, server_id, "Forex hedge USD", HEDGE_GROUP)
    return Desk(scene, netting, hedging)


async def test_positions_of_a_hedging_master_become_one_on_a_netting_account(desk: Desk) -> None:
    admin = desk.scene.simulator.admin
    master = desk.scene.world.masters["multiplier"]
    account = await desk.account("netting-follower", accounts_pb2.ACCOUNT_KIND_INVESTMENT, nets=True)
    follows = await desk.subscribe("netting-follower", master.master_id, account.account_id, ignore_stops=True)
    login = account.login

    long = (await admin.buy(master.login, "EURUSD", "1.00"))["PositionID"]
    short = (await admin.sell(master.login, "EURUSD", "0.40"))["PositionID"]
    await desk.become(login, ["0.60"])
    await desk.children_become(follows, ["1.00", "-0.40"])
    await admin.close_position(master.login, long, "0.50")
    await desk.become(login, ["0.10"])
    await admin.close_position(master.login, long)
    await desk.become(login, ["-0.40"])  # the close of the bought child turned the account
    await desk.children_become(follows, ["-0.40"])

    await admin.buy(login, "EURUSD", "0.15")  # the investor takes a part himself
    await desk.children_become(follows, ["-0.25"])
    await admin.close_position(master.login, short)
    await desk.become(login, [])
    await desk.children_become(follows, [])


async def test_who_closes_a_netting_account_ends_all_children_and_no_later_close_opens_it_again(desk: Desk) -> None:
    admin, clients = desk.scene.simulator.admin, desk.scene.clients
    master = desk.scene.world.masters["multiplier"]
    account = await desk.account("closed-follower", accounts_pb2.ACCOUNT_KIND_INVESTMENT, nets=True)
    follows = await desk.subscribe("closed-follower", master.master_id, account.account_id, ignore_stops=True)

    async def open_both() -> tuple[str, str]:
        long = (await admin.buy(master.login, "EURUSD", "0.70"))["PositionID"]
        short = (await admin.sell(master.login, "EURUSD", "0.20"))["PositionID"]
        await desk.become(account.login, ["0.50"])
        await desk.children_become(follows, ["0.70", "-0.20"])
        return long, short

    async def close_both(long: str, short: str) -> None:
        """The master does; his other followers are the sign that he was followed."""
        await admin.close_position(master.login, long)
        await admin.close_position(master.login, short)
        for follower in desk.scene.world.followers["multiplier"]:
            await desk.become(follower.login, [])
        assert await desk.positions(account.login) == []

    positions = await open_both()
    (held,) = await admin.positions(account.login)
    await admin.close_position(account.login, held["Position"])
    await desk.children_become(follows, [])
    await close_both(*positions)

    positions = await open_both()
    request = trading_pb2.CloseAllPositionsRequest(
        request_id=request_id("netting", "close all"), account_id=account.account_id, cause="risk/trip/1"
    )
    await clients.call(clients.trading.CloseAllPositions, request)
    await desk.become(account.login, [])
    await desk.children_become(follows, [])
    await close_both(*positions)


async def test_what_a_close_opens_that_comes_after_the_owners_is_closed_again(desk: Desk) -> None:
    admin, simulator = desk.scene.simulator.admin, desk.scene.simulator
    master = desk.scene.world.masters["multiplier"]
    account = await desk.account("late-follower", accounts_pb2.ACCOUNT_KIND_INVESTMENT, nets=True)
    follows = await desk.subscribe("late-follower", master.master_id, account.account_id, ignore_stops=True)

    long = (await admin.buy(master.login, "EURUSD", "0.70"))["PositionID"]
    short = (await admin.sell(master.login, "EURUSD", "0.20"))["PositionID"]
    await desk.become(account.login, ["0.50"])
    await desk.children_become(follows, ["0.70", "-0.20"])
    fault = await simulator.add_fault(
        "latency", endpoint="dealer/send_request", login=account.login, seconds=HELD_UP_SECONDS
    )
    await admin.close_position(master.login, long)

    async def is_on_its_way() -> bool:
        return await admin.fired(fault) == 1

    await eventually(is_on_its_way)
    (held,) = await admin.positions(account.login)
    await admin.close_position(account.login, held["Position"])
    await admin.clear_faults()

    async def is_undone() -> bool:
        return await desk.excess(follows) == [(-70_000_000, 0)]

    await eventually(is_undone)
    await desk.become(account.login, [])
    await desk.children_become(follows, [])
    lots = [_lots(deal) for deal in await admin.deals(account.login) if deal["Action"] in {"0", "1"}]
    opened, later = lots[:2], lots[2:]
    assert sorted(opened) == [Decimal("-0.20"), Decimal("0.70")], "two decisions are sent side by side"
    assert later == [Decimal("-0.50"), Decimal("-0.70"), Decimal("0.70")], "each once"
    await admin.close_position(master.login, short)


async def test_stops_follow_a_netting_master_after_he_has_turned_around(desk: Desk) -> None:
    admin, clients = desk.scene.simulator.admin, desk.scene.clients
    account = await desk.account("netting-master", accounts_pb2.ACCOUNT_KIND_MASTER, nets=True)
    request = masters_pb2.CreateMasterRequest(
        request_id=request_id("netting", "master"),
        name="Turning",
        account_type=masters_pb2.ACCOUNT_TYPE_MAM,
        account_id=account.account_id,
        method=masters_pb2.ALLOCATION_METHOD_RATIO_MULTIPLIER,
    )
    master = (await clients.call(clients.masters.CreateMaster, request)).master
    follower = await desk.account("hedging-follower", accounts_pb2.ACCOUNT_KIND_INVESTMENT, nets=False)
    await desk.subscribe("hedging-follower", master.master_id, follower.account_id, ignore_stops=False)

    def held(*wanted: tuple[str, str, str]) -> Callable[[], Any]:
        async def are_so() -> bool:
            return await desk.positions(follower.login) == [(Decimal(lots), *stops) for lots, *stops in wanted]

        return are_so

    await admin.buy(account.login, "EURUSD", "1.00", sl="1.05000", tp="1.20000")
    await eventually(held(("1.00", "1.05000", "1.20000")))
    await admin.buy(account.login, "EURUSD", "0.50")
    await desk.become(follower.login, ["1.00", "0.50"])
    await admin.sell(account.login, "EURUSD", "2.10", sl="1.15000", tp="1.02000")
    await eventually(held(("-0.60", "1.15000", "1.02000")))
    (turned,) = await admin.positions(account.login)
    await admin.modify(account.login, turned["Position"], sl="1.16000", tp="1.03000")
    await eventually(held(("-0.60", "1.16000", "1.03000")))
    await admin.buy(account.login, "EURUSD", "0.20")
    await desk.become(follower.login, ["-0.40"])
    await admin.close_position(account.login, turned["Position"])
    await desk.become(follower.login, [])
