"""All writing to one trading server by this process: lanes for orders, legs, accesses and closings, and upkeep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.operations.claim_work import adopt_legs, adopt_orders
from apportion.platform_groups.operations.ports import NewId, NewPassword, TradingServersPort
from apportion.platform_groups.workers.access_lane import AccessLane
from apportion.platform_groups.workers.closing_lane import ClosingLane
from apportion.platform_groups.workers.held_shards import AllShards, HeldShards
from apportion.platform_groups.workers.lane import Lane
from apportion.platform_groups.workers.leg_lane import LegLane
from apportion.platform_groups.workers.order_lane import OrderLane
from apportion.platform_groups.workers.server_clock import ServerClock
from apportion.platform_groups.workers.upkeep import Upkeep
from apportion.runtime import Background, Clock
from apportion.storage.leases import Lease


@dataclass(frozen=True, slots=True)
class EgressNeeds:
    """What every server's egress is made of."""

    engine: AsyncEngine
    servers: TradingServersPort
    clock: Clock
    new_id: NewId
    new_password: NewPassword
    lane_count: int
    answer_timeout: timedelta
    price_age_seconds: float


class ServerEgress:
    """Leases of shards come and go; the lanes stay."""

    def __init__(self, needs: EgressNeeds, server_id: int, is_valid: Callable[[Lease], bool]) -> None:
        self._needs = needs
        self._server_id = server_id
        self._parts = [HeldShards(server_id, is_valid) for _ in range(needs.lane_count)]
        self._all = AllShards(self._parts)
        self._lanes: list[Lane] = []
        self._background = Background()

    async def start(self) -> None:
        """Raises what TradingServersPort raises."""
        needs = self._needs
        server, reserved = await needs.servers.get(self._server_id), await needs.servers.reserved(self._server_id)
        sessions = [await needs.servers.dealer(self._server_id) for _ in self._parts]
        server_clock = ServerClock(reserved, needs.clock)
        for number, (part, session) in enumerate(zip(self._parts, sessions, strict=True)):
            orders = OrderLane(
                needs.engine,
                session,
                part,
                server_clock,
                needs.clock,
                needs.new_id,
                price_age_seconds=needs.price_age_seconds,
            )
            legs = LegLane(needs.engine, server, part, server_clock, needs.clock, needs.new_id)
            self._lanes += (orders, legs)
            self._background.spawn(f"orders-{self._server_id}-{number}", orders.run)
            self._background.spawn(f"legs-{self._server_id}-{number}", legs.run)
        access = AccessLane(
            needs.engine, reserved, self._server_id, self._all, needs.clock, answer_timeout=needs.answer_timeout
        )
        self._lanes.append(access)
        self._background.spawn(f"access-{self._server_id}", access.run)
        closings = ClosingLane(needs.engine, reserved, self._server_id, self._all, needs.clock)
        self._lanes.append(closings)
        self._background.spawn(f"closings-{self._server_id}", closings.run)
        upkeep = Upkeep(
            needs.engine,
            needs.servers,
            self._server_id,
            self._all,
            server_clock,
            needs.clock,
            needs.new_id,
            needs.new_password,
            answer_timeout=needs.answer_timeout,
        )
        self._background.spawn(f"upkeep-{self._server_id}", upkeep.run)

    async def stop(self) -> None:
        await self._background.stop()

    def ring(self) -> None:
        """There may be new work for this server."""
        for lane in self._lanes:
            lane.ring()

    async def acquire(self, lease: Lease) -> None:
        """A shard is ours: what its former owner left on the wire is UNKNOWN, the rest is ours to send."""
        needs = self._needs
        await adopt_orders(needs.engine, needs.new_id, self._server_id, lease, now=needs.clock.now())
        await adopt_legs(needs.engine, self._server_id, lease, now=needs.clock.now())
        self._all.part_of(lease).add(lease)
        self.ring()

    async def release(self, lease: Lease) -> None:
        """Returns when nothing more is put on the wire for the shard. Answers still to come are saved all the same."""
        self._all.part_of(lease).remove(lease)
        for lane in self._lanes:
            await lane.pause()
