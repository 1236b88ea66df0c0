"""A master moves his stops, and a server refuses an open in passing: what becomes of it on real positions."""

from __future__ import annotations

import pytest

from apportion.devstack.day import Day
from apportion.devstack.scene import Scene
from apportion.testing.polling import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("stops-and-retries")]


async def test_children_follow_the_stops_of_their_masters_position(scene: Scene) -> None:
    day = _day(scene)
    await scene.simulator.set_price("EURUSD", "1.10000", "1.10000")
    await day.settle("the market opens")
    master = scene.world.masters["multiplier"]
    await scene.simulator.admin.buy(master.login, "EURUSD", "1.00", sl="1.05000", tp="1.15000")
    await day.settle("the master buys with stops")
    assert await _stops(scene) == {("1.05000", "1.15000")}
    position = (await scene.simulator.admin.positions(master.login))[0]["Position"]
    for stop_loss in ("1.06000", "1.07000", "1.08000"):
        await scene.simulator.admin.modify(master.login, position, sl=stop_loss)
    await _become(scene, {("1.08000", "0.00000")})
    await scene.simulator.close(master.login, position)
    await day.settle("the master closes")


async def test_an_open_that_is_requoted_is_opened_again(scene: Scene) -> None:
    day = _day(scene)
    await day.settle("before the requote")
    master = scene.world.masters["multiplier"]
    fault = await scene.simulator.add_fault("requote", login=scene.world.followers["multiplier"][0].login, count=1)
    await scene.simulator.buy(master.login, "EURUSD", "1.00")
    await day.settle("the master buys, one follower is requoted")
    assert await scene.simulator.admin.fired(fault) == 1
    held = [len(await scene.simulator.admin.positions(f.login)) for f in scene.world.followers["multiplier"]]
    assert held == [1] * len(held)


async def _stops(scene: Scene) -> set[tuple[str, str]]:
    return {
        (position["PriceSL"], position["PriceTP"])
        for follower in scene.world.followers["multiplier"]
        for position in await scene.simulator.admin.positions(follower.login)
    }


async def _become(scene: Scene, wanted: set[tuple[str, str]]) -> None:
    async def is_wanted() -> bool:
        return await _stops(scene) == wanted

    await eventually(is_wanted)


def _day(scene: Scene) -> Day:
    async def quiet(_: str) -> None:
        return None

    return Day(scene.world, scene.clients, scene.simulator, quiet)
