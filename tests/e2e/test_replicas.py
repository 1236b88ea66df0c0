"""Two workers of a service share its load; when one stops in the middle of its work, the other does the rest, once."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from apportion.devstack.books import audit
from apportion.devstack.day import Day
from apportion.devstack.ledger import read_ledger
from apportion.devstack.scene import Scene, open_scene
from apportion.testing.polling import eventually

SHARED = ("allocation", "platform-groups")
# What was known of a symbol when platform-groups stops to answer is enough for a decision.
SETTINGS = {"ALLOCATION_SYMBOL_SECONDS": "3600"}
# An investor's first order is on its way until its sender has stopped: then the faults are cleared.
HELD_UP_SECONDS = 600.0

SENDING = 2
# Of the given logins.
IN_FLIGHT = f"""
    SELECT lease.owner, count(*) FROM orders
    JOIN leases lease ON lease.kind = 'egress' AND lease.key = trading_server_id || '/' || shard
    WHERE state = {SENDING} AND orders.epoch = lease.epoch AND login = ANY($1::bigint[]) GROUP BY 1 ORDER BY 2 DESC
"""
# A master's deals are decided by whoever holds their partition, and sent by him too.
UNDISPATCHED = """
    SELECT lease.owner, count(*) FROM allocations
    JOIN masters USING (master_id)
    JOIN leases lease ON lease.kind = 'consumer:allocation' AND lease.key = (masters.account_id % 64)::text
    WHERE dispatch_time IS NULL GROUP BY 1 ORDER BY 2 DESC
"""

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("replicas")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(folder: Path, seed: int) -> AsyncIterator[Scene]:
    home, split = folder / f"seed-{seed}", dict.fromkeys(SHARED, 2)
    async with open_scene(home, investor_count=9, seed=seed, split=split, settings=SETTINGS) as opened:
        await opened.simulator.set_price("EURUSD", "1.10000", "1.10000")
        await opened.simulator.set_price("GBPUSD", "1.27000", "1.27000")
        yield opened


async def test_another_sends_what_a_suspended_sender_had_marked(scene: Scene) -> None:
    day = _day(scene)
    await day.settle("the market opens")
    await _until_shared(scene, "platform-groups")
    for followers in scene.world.followers.values():
        for follower in followers:
            await scene.simulator.add_fault(
                "latency", endpoint="dealer/send_request", login=follower.login, seconds=HELD_UP_SECONDS
            )
    await _all_buy(scene)
    sleeper = await eventually(lambda: _sender(scene))
    assert isinstance(sleeper, str)
    with suspended(scene, sleeper):
        on_the_wire = await _slowed(scene)
        assert await _busy(scene, "platform-groups", IN_FLIGHT, sleeper, on_the_wire), "it was stopped in mid-batch"
        await scene.simulator.admin.clear_faults()
        await day.settle("all masters buy while a sender of orders is suspended")
        opened = await _opened_positions(scene)
    await _close_after_waking(scene, day, sleeper, opened)


async def test_another_dispatches_what_a_suspended_worker_had_decided(scene: Scene) -> None:
    day = _day(scene)
    await day.settle("the market opens")
    await _until_shared(scene, "allocation")
    await _all_buy(scene)  # a decision needs the symbol, which workers ask platform-groups for
    await day.settle("all masters buy")
    await _all_close(scene)
    await day.settle("all masters close")
    with ExitStack() as asleep:
        with suspended(scene, "platform-groups"):  # so that no decision is handed over before its worker stops
            await _all_buy(scene)
            sleeper = await eventually(lambda: _busiest(scene, "allocation", UNDISPATCHED))
            assert isinstance(sleeper, str)
            asleep.enter_context(suspended(scene, sleeper))
            assert await _busy(scene, "allocation", UNDISPATCHED, sleeper), "it was stopped before dispatching"
        await day.settle("all masters buy while a worker is suspended")
        opened = await _opened_positions(scene)
    await _close_after_waking(scene, day, sleeper, opened)


async def test_a_lost_answer_opens_no_child_twice(scene: Scene) -> None:
    day = _day(scene)
    await day.settle("the market opens")
    answers = await scene.simulator.add_fault("lose_answer", endpoint="dealer/send_request", count=2)
    await _all_buy(scene)
    await day.settle("all masters buy, two answers are lost")
    assert await _fired(scene, answers) == 2
    results = await scene.simulator.add_fault("lose_result", endpoint="dealer/get_request_result", count=2)
    await _all_close(scene)
    await day.settle("all masters close, two results are lost")
    assert await _fired(scene, results) == 2
    await _refuse_wrong_books(scene)


def _day(scene: Scene) -> Day:
    async def quiet(_: str) -> None:
        return None

    return Day(scene.world, scene.clients, scene.simulator, quiet)


async def _all_buy(scene: Scene) -> None:
    for master in scene.world.masters.values():
        await scene.simulator.buy(master.login, "EURUSD", "1.00")


async def _all_close(scene: Scene) -> None:
    for master in scene.world.masters.values():
        for position in await scene.simulator.admin.positions(master.login):
            await scene.simulator.close(master.login, position["Position"])


@contextmanager
def suspended(scene: Scene, name: str) -> Iterator[None]:
    """SIGSTOP, and in any case SIGCONT, or the next test would find it asleep."""
    scene.stack.services[name].suspend()
    try:
        yield
    finally:
        scene.stack.services[name].wake()


async def _close_after_waking(scene: Scene, day: Day, sleeper: str, opened: set[str]) -> None:
    """The woken worker goes on where it stopped; nothing of that may happen a second time."""
    await _until_shared(scene, scene.stack.services[sleeper].service)
    assert await _opened_positions(scene) == opened
    await _all_close(scene)
    await day.settle("all masters close after it woke")
    assert await _opened_positions(scene) == opened
    await _refuse_wrong_books(scene)


async def _opened_positions(scene: Scene) -> set[str]:
    """Tickets of all positions that investors ever had, by the server."""
    logins = [follower.login for followers in scene.world.followers.values() for follower in followers]
    deals = [deal for login in logins for deal in await scene.simulator.admin.deals(login)]
    return {deal["PositionID"] for deal in deals if deal["Entry"] == "0" and deal["Action"] in {"0", "1"}}


async def _refuse_wrong_books(scene: Scene) -> None:
    ledger = await read_ledger(scene.world, scene.clients, scene.simulator)
    findings = await audit(scene.world, scene.clients, ledger)
    assert not [problem for finding in findings for problem in finding.problems]


async def _fired(scene: Scene, fault: int) -> int:
    """How often a fault has befallen a request."""
    [fired] = [listed["fired"] for listed in await scene.simulator.admin.faults() if listed["id"] == fault]
    return int(fired)


async def _slowed(scene: Scene) -> list[int]:
    """Logins with an order that reached the server and was made to wait there."""
    return [fault["login"] for fault in await scene.simulator.admin.faults() if fault["fired"]]


async def _sender(scene: Scene) -> str | None:
    """A process that has orders at the server now, not answered yet."""
    return await _busiest(scene, "platform-groups", IN_FLIGHT, await _slowed(scene))


async def _busiest(scene: Scene, service: str, query: str, *arguments: object) -> str | None:
    """The process with most of what the query counts; None while there is nothing."""
    rows = await _rows(scene, service, query, *arguments)
    return next((name for name in scene.stack.services if rows and _is_of(rows[0]["owner"], name)), None)


async def _busy(scene: Scene, service: str, query: str, name: str, *arguments: object) -> int:
    return sum(row["count"] for row in await _rows(scene, service, query, *arguments) if _is_of(row["owner"], name))


def _is_of(owner: str, name: str) -> bool:
    """An owner is the name of a process and what marks one run of it."""
    return re.sub(r"(-[0-9a-f]{8})+$", "", owner) == name


async def _until_shared(scene: Scene, service: str) -> None:
    """Bounded wait until both workers hold leases of each kind that has more than one."""
    query = """
        SELECT 1 FROM leases WHERE lease_until > clock_timestamp()
        GROUP BY kind HAVING count(*) > 1 AND count(DISTINCT owner) < 2
    """

    async def shared() -> bool:
        return not await _rows(scene, service, query)

    await eventually(shared)


async def _rows(scene: Scene, service: str, query: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(scene.stack.postgres.url("postgres", service.replace("-", "_")))
    try:
        rows: list[asyncpg.Record] = await connection.fetch(query, *arguments)
        return rows
    finally:
        await connection.close()
