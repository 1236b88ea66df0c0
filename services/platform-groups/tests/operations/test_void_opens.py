"""Opens that were decided before a halt are not sent, whenever they come here; a later decision's are."""

from __future__ import annotations

import uuid
from datetime import timedelta

import numpy as np
import pytest
from platform_world import ACCOUNT_ID, SERVER_ID, SHARD, store
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.platform_groups.domain.states import OrderPurpose, OrderState
from apportion.platform_groups.operations.submit_orders import submit_orders
from apportion.platform_groups.operations.void_opens import void_opens
from apportion.platform_groups.storage.orders import NewOrders, claim_orders, read_stopped, stop_orders
from apportion.runtime.clock import FixedClock
from apportion.storage import RequestKey, transaction

MASTER, OTHER_MASTER = 64, 65


def key() -> RequestKey:
    return RequestKey(1, "test", str(uuid.uuid4()), b"")


async def submit(
    engine: AsyncEngine,
    clock: FixedClock,
    source_id: str,
    halt_epoch: int | None,
    *,
    ordering_key: int = MASTER,
    purpose: OrderPurpose = OrderPurpose.OPEN,
) -> None:
    one, none = np.ones(1, np.int64), np.zeros(1, np.int64)
    is_open = purpose is OrderPurpose.OPEN
    orders = NewOrders(
        label=1,
        source_id=source_id,
        ordering_key=ordering_key,
        purpose=purpose,
        not_after_time=clock.now() + timedelta(minutes=1) if is_open else None,
        item_ids=one,
        account_ids=one * ACCOUNT_ID,
        symbols=["EURUSD"],
        volumes_e8=one * 1_000_000,
        position_tickets=none if is_open else one,
        stop_losses_e8=none,
        take_profits_e8=none,
        reference_prices_e8=none,
        max_slippages_e8=none,
        halt_epoch=halt_epoch,
    )
    await submit_orders(engine, uuid.uuid4, key(), orders, now=clock.now())


async def look(engine: AsyncEngine, clock: FixedClock) -> tuple[dict[str, str], int]:
    """What a worker stops now, by source with the reason, and how many it takes."""
    async with transaction(engine) as tx:
        stopped = await stop_orders(tx, SERVER_ID, [SHARD], clock.now())
        taken = await claim_orders(tx, SERVER_ID, {SHARD: 1}, limit=99, server_time_ms=1, now=clock.now())
    assert {row["state"] for row in stopped} <= {OrderState.REJECTED}
    return {row["source_id"]: row["reason"] for row in stopped}, len(taken)


async def test_only_opens_of_an_older_epoch_are_void(engine: AsyncEngine, clock: FixedClock) -> None:
    await submit(engine, clock, "before", 2)
    await submit(engine, clock, "close", None, purpose=OrderPurpose.CLOSE)
    await submit(engine, clock, "of another master", 2, ordering_key=OTHER_MASTER)
    await submit(engine, clock, "of no master", None)
    await void_opens(engine, key(), MASTER, 3, now=clock.now())
    await submit(engine, clock, "late", 2)
    await submit(engine, clock, "after", 3)
    assert await look(engine, clock) == ({"before": "PAUSED_BY_RISK", "late": "PAUSED_BY_RISK"}, 4)


async def test_a_halt_that_was_told_before_changes_nothing(engine: AsyncEngine, clock: FixedClock) -> None:
    again = key()
    await void_opens(engine, again, MASTER, 3, now=clock.now())
    await void_opens(engine, again, MASTER, 3, now=clock.now())
    await void_opens(engine, key(), MASTER, 1, now=clock.now())
    await submit(engine, clock, "before", 2)
    await submit(engine, clock, "after", 3)
    assert await look(engine, clock) == ({"before": "PAUSED_BY_RISK"}, 1)


@pytest.mark.parametrize("halt_epoch", [3, 4])
async def test_what_was_taken_already_is_seen_to_be_stopped(
    engine: AsyncEngine, clock: FixedClock, halt_epoch: int
) -> None:
    await submit(engine, clock, "open", 3)
    async with transaction(engine) as tx:
        (taken,) = await claim_orders(tx, SERVER_ID, {SHARD: 1}, limit=99, server_time_ms=1, now=clock.now())
    await void_opens(engine, key(), MASTER, halt_epoch, now=clock.now())
    assert (taken.order_id in await read_stopped(engine, [taken.order_id])) is (halt_epoch > 3)


async def test_nothing_is_opened_on_an_account_that_has_left_its_group(engine: AsyncEngine, clock: FixedClock) -> None:
    await submit(engine, clock, "taken", None)
    async with transaction(engine) as tx:
        (taken,) = await claim_orders(tx, SERVER_ID, {SHARD: 1}, limit=99, server_time_ms=1, now=clock.now())
    await submit(engine, clock, "waiting", None)
    await submit(engine, clock, "close", None, purpose=OrderPurpose.CLOSE)
    await store(engine, "UPDATE accounts SET state = 3")
    assert await look(engine, clock) == ({"waiting": "ACCOUNT_NOT_OPEN"}, 1)
    assert await read_stopped(engine, [taken.order_id]) == {taken.order_id}
