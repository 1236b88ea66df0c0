"""A daily limit trips and holds while there is no Redis at all: risk asks the real platform-groups, which asks the
server."""

from __future__ import annotations

from decimal import Decimal

import pytest

from apportion.api.risk.v1 import limits_pb2, trips_pb2
from apportion.devstack.day import Day
from apportion.devstack.scene import Scene
from apportion.mt5_simulator.process import AdminRefused
from apportion.testing.polling import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.xdist_group("risk-without-redis")]

OPEN_PRICE = Decimal("1.10000")
LOT_UNITS = 100_000
MINOR = 100
TRADE_DISABLED = 10017


async def test_a_daily_limit_trips_with_redis_killed(scene: Scene) -> None:
    async def quiet(_: str) -> None:
        return None

    day = Day(scene.world, scene.clients, scene.simulator, quiet)
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
