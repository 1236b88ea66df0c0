"""Two facts on one child booked at the same moment, each in a transaction of its own: one waits for the other, and
nothing is lost between them."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime

import pytest
from conftest import LABEL, deals_observed, orders_updated

from apportion.allocation.consumers import handlers
from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.events import ReceivedEvent
from apportion.money import E8
from apportion.storage import transaction

OUT = 2
WAIT_SECONDS = 0.3
NOW = datetime(2026, 1, 5, 10, tzinfo=UTC)


async def both(house, first, second) -> None:
    """The second is told while the first is booked and not committed."""
    async with transaction(house.engine) as tx:
        by_type = handlers(house.desk, house.clock, house.hand_over)
        after_commit = await by_type[first.DESCRIPTOR.full_name](tx, event_of(first))
        late = asyncio.create_task(house.tell(second))
        done, _ = await asyncio.wait([late], timeout=WAIT_SECONDS)
        assert not done, "the second waits"
    if after_commit is not None:
        await after_commit()
    await late


async def opened(house, *, method=AllocationMethod.RATIO_MULTIPLIER):
    """A master has bought 1.00 for one follower. Returns the open orders."""
    master = await house.master(method)
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    return batch


def closing(house, account_id: int, position: int, lots: float = 1.0):
    deal = (9_000 + account_id, account_id, position, OUT, -round(lots * E8), False, "EURUSD")
    return deals_observed([deal], house.clock.now())


async def closed(house) -> tuple[list[int], list[list[int]]]:
    """What children have open, and what was announced to be closed."""
    facts = await house.facts("children")
    open_volumes_e8 = [child.open_volume_e8 for child in await house.children()]
    return open_volumes_e8, [list(fact.closed_volumes_e8) for fact in facts]


@pytest.mark.parametrize("deal_first", [True, False])
async def test_a_closing_deal_and_the_result_that_tells_whose_it_is(house, deal_first):
    result = orders_updated(await opened(house), 5_000, {})
    deal = closing(house, 101, 5_000)
    await both(house, *((deal, result) if deal_first else (result, deal)))
    assert await closed(house) == ([0], [[E8]])


@pytest.mark.parametrize("fill_first", [True, False])
@pytest.mark.parametrize("lots", [1.0, 0.25])
@pytest.mark.parametrize("method", [AllocationMethod.RATIO_MULTIPLIER, AllocationMethod.DIVIDE_BY_EQUITY])
async def test_a_fill_and_the_masters_close(house, fill_first, lots, method):
    result = orders_updated(await opened(house, method=method), 5_000, {})
    close = closing(house, 64, 900, lots)
    await both(house, *((result, close) if fill_first else (close, result)))
    (batch,) = await house.dispatch()
    assert (batch.position_tickets.tolist(), batch.volumes_e8.tolist()) == ([5_000], [-round(lots * E8)])
    assert await follow_up_positions(house.engine, now=house.clock.now()) == []


@pytest.mark.parametrize("hand_first", [True, False])
async def test_an_investors_close_and_the_masters(house, hand_first):
    await house.fill(await opened(house), first_position=5_000)
    hand, close = closing(house, 101, 5_000), closing(house, 64, 900)
    await both(house, *((hand, close) if hand_first else (close, hand)))
    assert len(await house.dispatch()) == (0 if hand_first else 1)
    assert await closed(house) == ([0], [[E8]])


async def test_a_refusal_to_be_tried_again_and_the_masters_close(house):
    batch = await opened(house)
    refusal = orders_updated(batch, 0, dict.fromkeys(batch.item_ids.tolist(), 0))
    refusal.orders.reasons[1] = "REQUOTE"
    await both(house, refusal, closing(house, 64, 900))
    assert await house.reopen() == []
    assert [child.state for child in await house.children()] == [ChildTradeState.REJECTED]


async def test_several_looks_close_what_is_too_much_once(house):
    await opened(house)
    await house.deal(64, -1.0, position=900, entry=OUT)
    async with transaction(house.engine) as tx:
        await tx.exec_driver_sql(
            "UPDATE child_trades SET state = 3, filled_volume_e8 = volume_e8, open_volume_e8 = volume_e8,"
            " position_ticket = 5000"
        )
    looks = [follow_up_positions(house.engine, now=house.clock.now()) for _ in range(4)]
    decided = [allocation for found in await asyncio.gather(*looks) for allocation in found]
    assert [allocation.volume_sum_e8 for allocation in decided] == [-E8]


def event_of(payload) -> ReceivedEvent:
    name = payload.DESCRIPTOR.full_name
    return ReceivedEvent(str(uuid.uuid4()), LABEL, "deals", "7/0", 1, name, NOW, 0, payload.SerializeToString())
