"""A pooled master distributes profit instead of trades: on a real wire every cent is booked, once, and none is left."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from apportion.api.allocation.v1 import allocations_pb2, distributions_pb2, masters_pb2
from apportion.devstack.clients import request_id
from apportion.devstack.day import FAILURES
from apportion.devstack.ledger import ServerBook, minor, read_server
from apportion.devstack.scene import Scene
from apportion.devstack.world import DemoMaster, Follower
from apportion.testing.polling import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("profit-mode")]


async def test_gains_and_losses_reach_the_investors_to_the_cent(scene: Scene) -> None:
    await _switch(scene)
    await _trade(scene, "1.00", "1.10000", "1.10123")
    await _trade(scene, "0.37", "1.10123", "1.09987")


async def test_a_service_that_is_killed_pays_out_once(scene: Scene) -> None:
    await _switch(scene)
    for kill_after_seconds, price in ((0.1, "1.10321"), (0.3, "1.09876"), (0.6, "1.10001")):
        await _trade(scene, "0.91", "1.10000", price, kill_after_seconds=kill_after_seconds)


async def _switch(scene: Scene) -> None:
    """The world's pooled master, who has nothing open, distributes profit from now on."""
    request = masters_pb2.UpdateMasterRequest(
        request_id=request_id("profit", "mode"),
        master_id=_master(scene).master_id,
        allocation_mode=masters_pb2.ALLOCATION_MODE_PROFIT,
    )
    await scene.clients.call(scene.clients.masters.UpdateMaster, request)


async def _trade(
    scene: Scene, lots: str, open_price: str, close_price: str, *, kill_after_seconds: float | None = None
) -> None:
    """One trade of the master, and what it makes of everybody's money."""
    master, simulator = _master(scene), scene.simulator
    before, known = await _books(scene), len(await _distributions(scene))
    await simulator.set_price("EURUSD", open_price, open_price)
    await simulator.buy(master.login, "EURUSD", lots)
    records = await _records(scene)
    assert sum(record.proportion_e9 for record in records) == 10**9
    assert {record.symbol for record in records} == {"CREDITEARN"}
    await simulator.set_price("EURUSD", close_price, close_price)

    async def floats() -> bool:
        (position,) = await simulator.admin.positions(master.login)
        shown = sum(record.floating_profit_minor for record in await _records(scene))
        return abs(shown - minor(position["Profit"])) <= len(records)

    await eventually(floats)
    (position,) = await simulator.admin.positions(master.login)
    await simulator.close(master.login, position["Position"])
    if kill_after_seconds is not None:
        await asyncio.sleep(kill_after_seconds)
        service = scene.stack.services["allocation"]
        service.kill()
        await scene.stack.free_leases("allocation")
        await service.start()

    async def is_booked() -> bool:
        try:
            found = await _distributions(scene)
        except FAILURES:
            return False  # it is not back yet
        return len(found) > known and not any(row.unpaid_count for row in found)

    await eventually(is_booked)
    await _check(scene, before)


async def _check(scene: Scene, before: dict[int, ServerBook]) -> None:
    """The master has what he had; the investors have the sum of his deals, each his share by the distribution."""
    after = await _books(scene)
    login = _master(scene).login
    assert after[login].balance_minor == before[login].balance_minor
    deals = after[login].trades[len(before[login].trades) :]
    brought = sum(minor(deal["Profit"]) + minor(deal["Storage"]) + minor(deal["Commission"]) for deal in deals)
    newest = (await _distributions(scene))[0]
    request = distributions_pb2.GetDistributionRequest(allocation_id=newest.allocation_id, page_size=100)
    shown = await scene.clients.call(scene.clients.distributions.GetDistribution, request)
    assert shown.agrees
    assert brought == newest.profit_minor + newest.swap_minor + newest.commission_minor != 0
    shares = {row.account_login: row.profit_minor + row.swap_minor + row.commission_minor for row in shown.rows}
    assert sum(shares.values()) == brought
    for follower in _followers(scene):
        booked = [minor(deal["Profit"]) for deal in after[follower.login].deals[len(before[follower.login].deals) :]]
        assert booked.count(shares[follower.login]) == 1, follower.key
        assert not after[follower.login].positions


async def _records(scene: Scene) -> Sequence[allocations_pb2.ChildTrade]:
    """Those that are open, as soon as they are made."""
    request = allocations_pb2.ListChildTradesRequest(
        master_id=_master(scene).master_id, states=[allocations_pb2.CHILD_TRADE_STATE_FILLED]
    )
    found: list[allocations_pb2.ChildTrade] = []

    async def made() -> bool:
        found[:] = (await scene.clients.call(scene.clients.allocations.ListChildTrades, request)).child_trades
        return len(found) == len(_followers(scene))

    await eventually(made)
    return found


async def _distributions(scene: Scene) -> Sequence[distributions_pb2.Distribution]:
    request = distributions_pb2.ListDistributionsRequest(master_id=_master(scene).master_id)
    answer = await scene.clients.call(scene.clients.distributions.ListDistributions, request)
    return list(answer.distributions)


async def _books(scene: Scene) -> dict[int, ServerBook]:
    return await read_server(scene.simulator, [account.login for account in (_master(scene), *_followers(scene))])


def _master(scene: Scene) -> DemoMaster:
    return scene.world.masters["pooled"]


def _followers(scene: Scene) -> list[Follower]:
    return scene.world.followers["pooled"]
