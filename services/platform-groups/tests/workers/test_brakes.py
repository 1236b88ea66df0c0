"""How long after a halt an open may still go out that was taken for sending before."""

from __future__ import annotations

import uuid

from platform_world import OPEN_ROW, SERVER_ID, SHARD, store
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.operations.void_opens import void_opens
from apportion.platform_groups.storage.orders import claim_orders
from apportion.platform_groups.workers.brakes import Brakes
from apportion.runtime import SystemClock
from apportion.runtime.clock import FixedClock
from apportion.storage import RequestKey, transaction


async def test_half_a_second_after_a_halt_nothing_goes_out_that_was_decided_before(engine: AsyncEngine) -> None:
    await store(engine, OPEN_ROW, "UPDATE orders SET halt_epoch = 0")
    clock = FixedClock(SystemClock().now())
    taken_at = clock.monotonic()
    async with transaction(engine) as tx:
        (order,) = await claim_orders(tx, SERVER_ID, {SHARD: 1}, limit=9, server_time_ms=1, now=clock.now())
    brakes = Brakes(engine, clock, [order], taken_at=taken_at)
    await void_opens(engine, RequestKey(1, "test", str(uuid.uuid4()), b""), 7, 1, now=clock.now())
    clock.advance(0.49)
    assert (brakes.is_old(order), await brakes.hold(order)) == (False, False)
    clock.advance(0.01)
    assert (brakes.is_old(order), await brakes.hold(order)) == (True, True)
