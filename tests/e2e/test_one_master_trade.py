"""One master's trade, through every service, on a real wire."""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal
from fractions import Fraction

import aiohttp
import pytest

from apportion.api.allocation.v1 import allocations_pb2
from apportion.api.risk.v1 import limits_pb2, trips_pb2
from apportion.devstack.books import audit
from apportion.devstack.day import Day
from apportion.devstack.ledger import ServerBook, read_ledger, read_server
from apportion.devstack.scene import Scene
from apportion.devstack.world import E8, TRADE_FEE_MINOR
from apportion.mt5_simulator.process import AdminRefused
from apportion.testing.polling import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("one-master-trade")]

LOT_STEP = Fraction(1, 100)
OPEN_PRICE = Decimal("1.10000")
LOT_UNITS = 100_000
MINOR = 100
TRADE_DISABLED = 10017


async def test_the_investors_follow_and_the_manager_is_paid(scene: Scene) -> None:
    day = _day(scene)
    await scene.simulator.set_price("EURUSD", "1.10000", "1.10000")
    await day.settle("the market opens")
    before = await _books(scene)
    master = scene.world.masters["copy"]
    followers = scene.world.followers["copy"]

    await scene.simulator.buy(master.login, "EURUSD", "1.00")
    await day.settle("the master buys 1.00")
    books = await _books(scene)
    opened = {follower.key: _open_lots(books[follower.login]) for follower in followers}
    assert opened == {
        follower.key: _half_up(Fraction(before[follower.login].equity_minor, before[master.login].equity_minor))
        for follower in followers
    }
    assert any(opened.values()), "somebody is big enough to follow"

    position = (await scene.simulator.admin.positions(master.login))[0]["Position"]
    await scene.simulator.close(master.login, position, "0.40")
    await day.settle("the master closes 0.40")
    books = await _books(scene)
    for follower in followers:
        left = opened[follower.key] - _half_up(opened[follower.key] * Fraction(40, 100))
        assert _open_lots(books[follower.login]) == left, follower.key

    await scene.simulator.close(master.login, position)
    await day.settle("the master closes the rest")
    books = await _books(scene)
    assert not any(books[follower.login].positions for follower in followers)

    fees = sum(_fee(books[follower.login]) for follower in followers)
    assert fees > 0
    assert books[master.wallet_login].balance_minor == fees
    for follower in followers:
        profit = sum(int(Decimal(deal["Profit"]) * 100) for deal in books[follower.login].trades)
        expected = follower.deposit_minor + profit - _fee(books[follower.login])
        assert books[follower.login].balance_minor == expected, follower.key


async def test_a_pooled_trade_is_divided_to_the_last_step(scene: Scene) -> None:
    day = _day(scene)
    await scene.simulator.set_price("EURUSD", "1.10000", "1.10000")
    await day.settle("the market opens")
    before = await _books(scene)
    await scene.simulator.sell(scene.world.masters["pooled"].login, "EURUSD", "1.37")
    await day.settle("the pooled master sells 1.37")
    books = await _books(scene)
    followers = scene.world.followers["pooled"]
    assert sum(_open_lots(books[follower.login]) for follower in followers) == Fraction(137, 100)
    total = sum(before[follower.login].equity_minor for follower in followers)
    for follower in followers:
        exact = Fraction(before[follower.login].equity_minor, total) * Fraction(137, 100)
        assert abs(_open_lots(books[follower.login]) - exact) <= Fraction(3, 2) * LOT_STEP, follower.key
        assert all(position["Action"] == "1" for position in books[follower.login].positions), "a sale stays a sale"
    await _close_all(scene, day)


async def test_each_allocation_explains_itself(scene: Scene) -> None:
    day = _day(scene)
    await scene.simulator.set_price("EURUSD", "1.10000", "1.10000")
    await day.settle("the market opens")
    for key in scene.world.masters:
        await scene.simulator.buy(scene.world.masters[key].login, "EURUSD", "0.77")
    await day.settle("all masters buy")
    ledger = await read_ledger(scene.world, scene.clients, scene.simulator)
    for key, allocations in ledger.allocations.items():
        allocation = allocations[0]
        request = allocations_pb2.ExplainAllocationRequest(allocation_id=allocation.allocation_id, page_size=100)
        explained = await scene.clients.call(scene.clients.allocations.ExplainAllocation, request)
        assert explained.agrees
        assert len(explained.children) == len(scene.world.followers[key])
        for child in explained.children:
            exact = Fraction(int(child.exact_numerator), int(child.exact_denominator)) / E8
            assert abs(Fraction(child.stored_volume_e8, E8) - exact) <= 2 * LOT_STEP or child.skip_reason
    await _close_all(scene, day)


@pytest.mark.parametrize("kill_after_seconds", [0.05, 0.12, 0.2])
async def test_children_missed_by_a_crash_are_opened_once(scene: Scene, kill_after_seconds: float) -> None:
    day = _day(scene)
    await scene.simulator.set_price("EURUSD", "1.10000", "1.10000")
    await day.settle("the market opens")
    for master in scene.world.masters.values():
        await scene.simulator.buy(master.login, "EURUSD", "0.80")
    await asyncio.sleep(kill_after_seconds)  # somewhere between the deal and the last child's fill
    sender = scene.stack.services["platform-groups"]
    sender.kill()
    await scene.stack.free_leases("platform-groups")
    await sender.start()
    await day.settle("all masters buy, the sender of the orders is killed")
    ledger = await read_ledger(scene.world, scene.clients, scene.simulator)
    findings = await audit(scene.world, scene.clients, ledger)
    assert not [problem for finding in findings for problem in finding.problems]
    expected = {key: ledger.allocations[key][0].child_volume_sum_e8 for key in scene.world.masters}
    opened = {key: sum(child.open_volume_e8 for child in ledger.children[key]) for key in scene.world.masters}
    assert opened == expected
    await _close_all(scene, day)


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
    followers = scene.world.followers["multiplier"]
    fault = await scene.simulator.add_fault("requote", endpoint="dealer/send_request", login=followers[0].login)
    await scene.simulator.buy(master.login, "EURUSD", "1.00")

    async def have_all_opened() -> bool:
        return all([await scene.simulator.admin.positions(follower.login) for follower in followers])

    await eventually(have_all_opened)
    await day.settle("the master buys, one follower is requoted")
    assert await scene.simulator.admin.fired(fault) == 1
    assert [len(await scene.simulator.admin.positions(follower.login)) for follower in followers] == [1, 1, 1]
    await _close_all(scene, day)


async def test_the_published_request_signs_a_user_in_once(scene: Scene) -> None:
    answer = await scene.room.sign_in()
    assert answer["id"] is None
    token = answer["result"]["token"]
    assert re.fullmatch(r"[0-9a-f]{32}", token)
    first, second = await _exchange(scene, token), await _exchange(scene, token)
    assert "result" in first, first
    assert second["error"]["data"]["reason"] == "TOKEN_INVALID"


async def test_a_daily_limit_trips_with_redis_killed(scene: Scene) -> None:
    """Risk asks the real platform-groups then, which asks the server."""
    day = _day(scene)
    master = scene.world.masters["copy"]
    await scene.simulator.set_price("EURUSD", str(OPEN_PRICE), str(OPEN_PRICE))
    await scene.simulator.buy(master.login, "EURUSD", "1.00")
    await day.settle("the master buys")
    held = [follower for follower in scene.world.followers["copy"] if await _position_count(scene, follower.login)]
    assert held

    scene.stack.valkey.kill()
    try:
        limit = await _limit(scene, master.master_id)
        loss_minor = limit.last_equity_minor - limit.signal_equity_minor
        price = OPEN_PRICE - Decimal(loss_minor * 11 // 10) / MINOR / LOT_UNITS
        await scene.simulator.set_price("EURUSD", f"{price:.5f}", f"{price:.5f}")
        trip = await eventually(lambda: _closed_trip(scene, master.master_id))
        assert isinstance(trip, trips_pb2.Trip)
        assert trip.snapshot_source == trips_pb2.SNAPSHOT_SOURCE_ASKED
        assert trip.equity_minor < trip.signal_equity_minor == limit.signal_equity_minor
        assert trip.achieved_equity_minor < trip.signal_equity_minor
        assert await _position_count(scene, master.login) == 0
        with pytest.raises(AdminRefused) as refusal:
            await scene.simulator.buy(master.login, "EURUSD", "0.10")
        assert refusal.value.retcode == TRADE_DISABLED

        async def are_followers_out() -> bool:
            return not any([await _position_count(scene, follower.login) for follower in held])

        await eventually(are_followers_out)
    finally:
        await scene.stack.valkey.start()
    await day.settle("Redis is back")
    assert (await _limit(scene, master.master_id)).state == limits_pb2.LIMIT_STATE_CLOSED
    assert len(await _trips(scene, master.master_id)) == 1


async def _close_all(scene: Scene, day: Day) -> None:
    """Leave the scene flat for the next test."""
    for master in scene.world.masters.values():
        for position in await scene.simulator.admin.positions(master.login):
            await scene.simulator.close(master.login, position["Position"])
    await day.settle("everything is closed")


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


async def _position_count(scene: Scene, login: int) -> int:
    return len(await scene.simulator.admin.positions(login))


async def _limit(scene: Scene, master_id: int) -> limits_pb2.DailyLimit:
    request = limits_pb2.GetDailyLimitRequest(master_id=master_id)
    return (await scene.clients.call(scene.clients.limits.GetDailyLimit, request)).daily_limit


async def _trips(scene: Scene, master_id: int) -> list[trips_pb2.Trip]:
    request = trips_pb2.ListTripsRequest(master_id=master_id)
    return list((await scene.clients.call(scene.clients.trips.ListTrips, request)).trips)


async def _closed_trip(scene: Scene, master_id: int) -> trips_pb2.Trip | None:
    return next((t for t in await _trips(scene, master_id) if t.state == trips_pb2.TRIP_STATE_CLOSED), None)


async def _exchange(scene: Scene, token: str) -> dict[str, object]:
    body = {"jsonrpc": "2.0", "id": 1, "method": "session.exchange", "params": {"token": token}}
    async with aiohttp.ClientSession() as session, session.post(f"{scene.room.gateway_url}/dx", json=body) as response:
        answer: dict[str, object] = await response.json()
    return answer


def _day(scene: Scene) -> Day:
    async def quiet(_: str) -> None:
        return None

    return Day(scene.world, scene.clients, scene.simulator, quiet)


async def _books(scene: Scene) -> dict[int, ServerBook]:
    logins = [account.login for account in scene.world.accounts]
    wallets = [account.wallet_login for account in scene.world.accounts]
    return await read_server(scene.simulator, [*logins, *wallets])


def _open_lots(book: ServerBook) -> Fraction:
    return Fraction(sum(int(position["VolumeExt"]) for position in book.positions), E8)


def _half_up(lots: Fraction) -> Fraction:
    """To whole lot steps, each child alone."""
    return Fraction((lots / LOT_STEP + Fraction(1, 2)).__floor__()) * LOT_STEP


def _fee(book: ServerBook) -> int:
    """Per closing deal, as the trade fee is charged."""
    closed = [int(deal["VolumeExt"]) for deal in book.trades if deal["Entry"] == "1"]
    return sum((TRADE_FEE_MINOR * volume + E8 // 2) // E8 for volume in closed)
