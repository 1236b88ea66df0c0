"""A closing deal and the result that tells whose position it closed, booked at the same moment."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime

import pytest
from conftest import LABEL, deals_observed, orders_updated

from apportion.allocation.consumers import handlers
from apportion.events import ReceivedEvent
from apportion.money import E8
from apportion.storage import transaction

OUT = 2
WAIT_SECONDS = 0.3
NOW = datetime(2026, 1, 5, 10, tzinfo=UTC)


@pytest.mark.parametrize("deal_first", [True, False])
async def test_one_waits_for_the_other_and_the_child_is_closed(house, deal_first):
    master = await house.master()
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    deal = deals_observed([(7, 101, 5_000, OUT, -E8, False, "EURUSD")], house.clock.now())
    result = orders_updated(batch, 5_000, {})
    first, second = (deal, result) if deal_first else (result, deal)
    async with transaction(house.engine) as tx:
        await handlers(house.desk, house.clock, house.hand_over)[first.DESCRIPTOR.full_name](tx, event_of(first))
        late = asyncio.create_task(house.tell(second))
        done, _ = await asyncio.wait([late], timeout=WAIT_SECONDS)
        assert not done, "what cannot see the other's row waits for it"
    await late
    [child] = await house.children()
    assert child.open_volume_e8 == 0
    assert [list(fact.closed_volumes_e8) for fact in await house.facts("children")] == [[E8]]


def event_of(payload) -> ReceivedEvent:
    name = payload.DESCRIPTOR.full_name
    return ReceivedEvent(str(uuid.uuid4()), LABEL, "deals", "7/0", 1, name, NOW, 0, payload.SerializeToString())
