"""A master moves stop loss and take profit: children that copy them get them, in order, and say why where not."""

from __future__ import annotations

import pytest

from apportion.allocation.domain.allocations import AllocationKind, DispatchState
from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.copy_settings import CopySettings
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.get_allocation import get_allocation
from apportion.allocation.operations.halt_master import HaltMaster, halt_master
from apportion.errors import UpstreamUnavailable
from apportion.money import E8
from apportion.storage import RequestKey

OUT, IN_OUT = 2, 3
REVERSE = CopySettings(reverse=True)
WITHOUT = CopySettings(ignore_stops=True)


async def opened(house, *settings: CopySettings, filled=True):
    """A master has bought 1.00 on position 900 with stops 1.0 and 2.0; his followers hold 5000, 5001, …

    Returns the open orders.
    """
    master = await house.master()
    for number, each in enumerate(settings or (CopySettings(),)):
        await house.follower(master, 101 + number, settings=each)
    await house.deal(64, 1.0, position=900, stops=(E8, 2 * E8))
    (batch,) = await house.dispatch()
    if filled:
        await house.fill(batch, first_position=5_000)
    return batch


def stops_of(batch) -> list[tuple[float, float]]:
    pairs = zip(batch.stop_losses_e8.tolist(), batch.take_profits_e8.tolist(), strict=True)
    return [(loss / E8, profit / E8) for loss, profit in pairs]


async def test_children_that_copy_stops_get_the_new_ones(house):
    batch = await opened(house, CopySettings(), REVERSE, WITHOUT)
    assert stops_of(batch) == [(1.0, 2.0), (2.0, 1.0), (0, 0)]
    await house.move_stops(64, 900, 1.1, 0)
    (batch,) = await house.dispatch()
    assert (batch.kind, batch.not_after_time) == (AllocationKind.MODIFY, None)
    assert batch.position_tickets.tolist() == [5_000, 5_001]
    assert stops_of(batch) == [(1.1, 0), (0, 1.1)]
    assert batch.volumes_e8.size == 0
    assert batch.item_ids.tolist() == [child.child_trade_id for child in await house.children()][:2]


async def test_a_modification_is_a_stored_decision_that_explains_itself(house):
    await opened(house, CopySettings(), REVERSE)
    await house.move_stops(64, 900, 1.1, 1.9)
    await house.move_stops(64, 900, 1.2, 1.9)
    *_, first, second = [fact.allocation for fact in await house.facts("allocations")]
    assert [(fact.kind, fact.wave, fact.deal_ticket, fact.child_count) for fact in (first, second)] == [
        (AllocationKind.MODIFY, 1, 900, 2),
        (AllocationKind.MODIFY, 2, 900, 2),
    ]
    assert (second.stop_loss_e8, second.take_profit_e8) == (120_000_000, 190_000_000)
    explanation = await explain_allocation(house.engine, 1, second.allocation_id, first=1, limit=10)
    assert explanation.agrees
    assert [child.text for child in explanation.children] == ["stop loss 1.9, take profit 1.2, as its master has them"]
    _, page = await get_allocation(house.engine, 1, second.allocation_id, first=0, limit=10)
    assert page.volumes_e8.tolist() == [0, 0]


async def test_what_was_decided_is_sent_from_the_store_after_a_crash(house):
    await opened(house, CopySettings(), REVERSE)
    await house.move_stops(64, 900, 1.1, 1.9)
    (allocation,) = house.waiting
    await house.dispatch_stored(allocation.allocation_id)
    assert stops_of(house.orders.batches[-1]) == [(1.1, 1.9), (1.9, 1.1)]


async def test_modifications_of_one_position_are_sent_in_their_order(house):
    await opened(house)
    await house.move_stops(64, 900, 1.1, 0)
    await house.move_stops(64, 900, 1.2, 0)
    first, second = house.waiting
    house.orders.refusals = [UpstreamUnavailable(service="platform-groups")]
    with pytest.raises(UpstreamUnavailable):
        await house.dispatch_stored(second.allocation_id)
    assert len(house.orders.batches) == 1, "the newer one waits for the older"
    await house.dispatch_stored(second.allocation_id)
    assert [stops_of(batch) for batch in house.orders.batches[1:]] == [[(1.1, 0)], [(1.2, 0)]]
    header, _ = await get_allocation(house.engine, 1, first.allocation_id, first=0, limit=0)
    assert header.dispatch_state is DispatchState.DONE


async def test_a_child_that_fills_later_gets_the_newest_stops(house):
    batch = await opened(house, filled=False)
    await house.move_stops(64, 900, 1.1, 1.9)
    assert await house.dispatch() == [], "nobody has a position yet"
    await house.fill(batch, first_position=5_000)
    (batch,) = await house.dispatch()
    assert (batch.position_tickets.tolist(), stops_of(batch)) == ([5_000], [(1.1, 1.9)])


async def test_a_fill_under_the_stops_it_was_ordered_with_needs_nothing(house):
    await opened(house)
    assert house.waiting == []
    await house.move_stops(64, 900, 1.0, 2.0)
    assert house.waiting == []


async def test_nobody_gets_stops_for_a_child_that_is_closed_or_being_closed(house):
    await opened(house, CopySettings(), CopySettings())
    await house.deal(101, -1.0, position=5_000, entry=OUT)
    await house.move_stops(64, 900, 1.1, 0)
    (batch,) = await house.dispatch()
    assert batch.account_ids.tolist() == [102]
    await house.deal(64, -1.0, position=900, entry=OUT)
    await house.dispatch()
    await house.move_stops(64, 900, 1.2, 0)
    assert await house.dispatch() == []


async def test_a_refusal_is_the_childs_reason_until_the_next_one_is_done(house):
    await opened(house, CopySettings(), CopySettings())
    await house.move_stops(64, 900, 1.1, 0)
    (batch,) = await house.dispatch()
    first, second = batch.item_ids.tolist()
    await house.tell_modified(batch, {first: "NO_MONEY", second: "SUPERSEDED"})
    children = await house.children()
    assert [(child.state, child.reason, child.open_volume_e8) for child in children] == [
        (ChildTradeState.FILLED, "NO_MONEY", E8),
        (ChildTradeState.FILLED, "", E8),
    ]
    assert await house.repeat_stops() == [], "a refusal for good is not tried again"
    await house.move_stops(64, 900, 1.2, 0)
    (batch,) = await house.dispatch()
    await house.tell_modified(batch)
    assert [child.reason for child in await house.children()] == ["", ""]


async def test_stops_of_a_halted_master_go_on(house):
    await opened(house)
    key = RequestKey(1, "test", "00000000-0000-4000-8000-000000000001", b"hash")
    await halt_master(house.engine, house.orders, HaltMaster(key, 1, "risk"), now=house.clock.now())
    await house.move_stops(64, 900, 1.1, 0)
    assert len(await house.dispatch()) == 1


async def test_strangers_stops_and_positions_that_were_never_allocated(house):
    await opened(house)
    await house.move_stops(64, 901, 1.1, 0)
    await house.move_stops(65, 900, 1.1, 0)
    assert house.waiting == []


async def test_a_deal_that_adds_to_a_position_brings_the_stops_it_names(house):
    await opened(house)
    await house.deal(64, 0.5, position=900, stops=(12 * E8 // 10, 0))
    (batch,) = await house.dispatch()
    assert stops_of(batch) == [(1.2, 0)]
    await house.fill(batch, first_position=5_001)
    (batch,) = await house.dispatch()
    assert dict(zip(batch.position_tickets.tolist(), stops_of(batch), strict=True)) == {
        5_000: (1.2, 2.0),
        5_001: (1.2, 2.0),
    }
    await house.move_stops(64, 900, 1.2, 2.0)
    assert house.waiting == []


async def test_a_reversed_position_has_the_stops_of_the_deal_that_reversed_it(house):
    await opened(house)
    await house.deal(64, -1.5, position=900, entry=IN_OUT, stops=(2 * E8, 0))
    close, reopened = await house.dispatch()
    assert (close.kind, stops_of(reopened)) == (AllocationKind.CLOSE, [(2.0, 0)])
    await house.fill(reopened, first_position=5_001)
    assert house.waiting == []
    await house.move_stops(64, 900, 2.1, 0)
    (batch,) = await house.dispatch()
    assert (batch.position_tickets.tolist(), stops_of(batch)) == ([5_001], [(2.1, 0)])
