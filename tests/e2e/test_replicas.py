"""Two workers of a service share its load; when one stops, the other takes over, and no child opens twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from apportion.devstack.books import audit
from apportion.devstack.day import Day
from apportion.devstack.ledger import read_ledger
from apportion.devstack.scene import Scene, open_scene

TAKE_OVER_SECONDS = 15.0
SHARED = ("allocation", "platform-groups")


pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("replicas")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(folder: Path) -> AsyncIterator[Scene]:
    split = dict.fromkeys(SHARED, 2)
    async with open_scene(folder, investor_count=9, split=split) as opened:
        await opened.simulator.set_price("EURUSD", "1.10000", "1.10000")
        await opened.simulator.set_price("GBPUSD", "1.27000", "1.27000")
        yield opened


@pytest.mark.timeout(300)
@pytest.mark.parametrize("service", SHARED)
async def test_a_suspended_worker_is_replaced(scene: Scene, service: str) -> None:
    day = Day(scene.world, scene.clients, scene.simulator, _quiet)
    await day.settle("the market opens")
    await _until_shared(scene, service)

    sleeper = scene.stack.services[f"{service}-worker-1"]
    sleeper.suspend()
    start = asyncio.get_running_loop().time()
    for master in scene.world.masters.values():
        await scene.simulator.buy(master.login, "EURUSD", "1.00")
    await day.settle("all masters buy while a worker is suspended")
    assert asyncio.get_running_loop().time() - start < TAKE_OVER_SECONDS

    sleeper.wake()
    for master in scene.world.masters.values():
        for position in await scene.simulator.admin.positions(master.login):
            await scene.simulator.close(master.login, position["Position"])
    await day.settle("all masters close after it woke")
    ledger = await read_ledger(scene.world, scene.clients, scene.simulator)
    findings = await audit(scene.world, scene.clients, ledger)
    assert not [problem for finding in findings for problem in finding.problems]


async def test_a_lost_answer_opens_no_child_twice(scene: Scene) -> None:
    day = Day(scene.world, scene.clients, scene.simulator, _quiet)
    await day.settle("the market opens")
    await scene.simulator.add_fault("lose_answer", endpoint="dealer/send_request", count=2)
    for master in scene.world.masters.values():
        await scene.simulator.buy(master.login, "EURUSD", "1.00")
    await day.settle("all masters buy, two answers are lost")
    await scene.simulator.add_fault("lose_result", endpoint="dealer/get_request_result", count=2)
    for master in scene.world.masters.values():
        for position in await scene.simulator.admin.positions(master.login):
            await scene.simulator.close(master.login, position["Position"])
    await day.settle("all masters close, two results are lost")
    ledger = await read_ledger(scene.world, scene.clients, scene.simulator)
    findings = await audit(scene.world, scene.clients, ledger)
    assert not [problem for finding in findings for problem in finding.problems]


async def _until_shared(scene: Scene, service: str) -> None:
    """Bounded wait until both workers hold leases."""
    url = scene.stack.postgres.url("postgres", service.replace("-", "_"))
    connection = await asyncpg.connect(url)
    try:
        for _ in range(200):
            owners = await connection.fetch("SELECT DISTINCT owner FROM leases WHERE lease_until > clock_timestamp()")
            if len([row for row in owners if "worker" in row["owner"]]) >= 2:
                return
            await asyncio.sleep(0.1)
    finally:
        await connection.close()
    raise AssertionError("the workers never shared the leases")


async def _quiet(step: str) -> None:
    return None
