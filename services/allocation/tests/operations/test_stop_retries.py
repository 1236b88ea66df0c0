"""Stops that were refused for a passing reason are sent again: the newest ones, while they are young."""

from __future__ import annotations

import pytest

from apportion.allocation.domain.copy_settings import CopySettings
from apportion.allocation.domain.subscriptions import SubscriptionChange
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.update_subscription import UpdateSubscription, update_subscription
from apportion.money import E8
from apportion.storage import RequestKey, transaction

OUT = 2


def stops_of(batch) -> list[tuple[float, float]]:
    pairs = zip(batch.stop_losses_e8.tolist(), batch.take_profits_e8.tolist(), strict=True)
    return [(loss / E8, profit / E8) for loss, profit in pairs]


async def refuse(house, batch, reason="STOPS_INVALID"):
    await house.tell_modified(batch, dict.fromkeys(batch.item_ids.tolist(), reason))


async def moved(house, *settings: CopySettings):
    """The master of filled followers has moved his stops to 1.1 and 1.9. Returns the modification's orders."""
    master = await house.master()
    for number, each in enumerate(settings or (CopySettings(),)):
        await house.follower(master, 101 + number, settings=each)
    await house.deal(64, 1.0, position=900, stops=(E8, 2 * E8))
    (batch,) = await house.dispatch()
    await house.fill(batch, first_position=5_000)
    await house.move_stops(64, 900, 1.1, 1.9)
    (batch,) = await house.dispatch()
    return batch


async def waiting_count(house) -> int:
    async with transaction(house.engine) as tx:
        return (await tx.exec_driver_sql("SELECT count(*) FROM stop_retries")).scalar_one()


@pytest.mark.parametrize("reason", ["STOPS_INVALID", "REQUOTE", "OFF_QUOTES", "CONTEXT_BUSY"])
async def test_refused_stops_are_sent_again_after_a_pause(house, reason):
    first = await moved(house)
    await refuse(house, first, reason)
    assert [child.reason for child in await house.children()] == [reason]
    assert await house.repeat_stops(after_seconds=0.4) == [], "not before a pause"
    (again,) = await house.repeat_stops(after_seconds=0.1)
    assert (again.item_ids.tolist(), again.position_tickets.tolist()) == (first.item_ids.tolist(), [5_000])
    assert stops_of(again) == [(1.1, 1.9)]
    assert again.source_id != first.source_id
    await house.tell_modified(again)
    assert [child.reason for child in await house.children()] == [""]
    assert await house.repeat_stops() == []
    assert await waiting_count(house) == 0


async def test_only_those_that_were_refused_get_them_again_swapped_where_reversed(house):
    first = await moved(house, CopySettings(), CopySettings(reverse=True))
    _, reversed_item = first.item_ids.tolist()
    await house.tell_modified(first, {reversed_item: "STOPS_INVALID"})
    (again,) = await house.repeat_stops()
    assert (again.item_ids.tolist(), stops_of(again)) == ([reversed_item], [(1.9, 1.1)])


async def test_a_repeat_is_a_decision_that_explains_itself(house):
    await refuse(house, await moved(house))
    (again,) = await house.repeat_stops()
    allocation_id = int(again.source_id.removeprefix("allocation/"))
    explanation = await explain_allocation(house.engine, 1, allocation_id, first=0, limit=10)
    assert (explanation.allocation.wave, explanation.agrees) == (2, True)


async def test_a_newer_move_replaces_what_waits_and_is_not_overwritten(house):
    await refuse(house, await moved(house))
    await house.move_stops(64, 900, 1.2, 1.9)
    (newer,) = await house.dispatch()
    assert stops_of(newer) == [(1.2, 1.9)]
    assert await house.repeat_stops() == [], "the older stops are nobody's wish any more"
    await house.tell_modified(newer)
    assert [child.reason for child in await house.children()] == [""]


async def test_a_refusal_of_older_stops_told_late_sends_nothing(house):
    older = await moved(house)
    await house.move_stops(64, 900, 1.2, 1.9)
    await house.dispatch()
    await refuse(house, older)
    assert await house.repeat_stops() == []


async def test_what_a_newer_one_overtook_at_platform_groups_is_not_sent_again(house):
    await refuse(house, await moved(house), "SUPERSEDED")
    assert await house.repeat_stops() == []
    assert await waiting_count(house) == 0


async def test_a_newer_move_that_is_refused_begins_to_count_anew(house):
    batch = await moved(house)
    for _ in range(3):
        await refuse(house, batch)
        (batch,) = await house.repeat_stops()
    await house.move_stops(64, 900, 1.2, 1.9)
    (batch,) = await house.dispatch()
    await refuse(house, batch)
    (again,) = await house.repeat_stops()
    assert stops_of(again) == [(1.2, 1.9)]


async def test_they_are_sent_so_often_and_no_more(house):
    batch = await moved(house)
    for _ in range(3):
        await refuse(house, batch)
        (batch,) = await house.repeat_stops()
    await refuse(house, batch)
    assert await house.repeat_stops() == []
    assert [child.reason for child in await house.children()] == ["STOPS_INVALID"]
    assert await waiting_count(house) == 0


async def test_not_when_their_time_is_over(house):
    batch = await moved(house)
    house.clock.advance(3)
    await refuse(house, batch)
    (batch,) = await house.repeat_stops()
    house.clock.advance(1)
    await refuse(house, batch)
    assert await house.repeat_stops() == [], "five seconds after the master moved them"


async def test_not_where_no_retries_are_wanted(house):
    house.retry(most=0)
    await refuse(house, await moved(house))
    assert await house.repeat_stops() == []


@pytest.mark.parametrize("closes", ["master", "investor"])
async def test_a_close_meanwhile_ends_it(house, closes):
    await refuse(house, await moved(house))
    if closes == "master":
        await house.deal(64, -1.0, position=900, entry=OUT)
        await house.dispatch()
    else:
        await house.deal(101, -1.0, position=5_000, entry=OUT)
    assert await house.repeat_stops() == []
    assert await waiting_count(house) == 0


async def test_who_copies_no_stops_any_more_gets_none(house):
    await refuse(house, await moved(house))
    (child,) = await house.children()
    key = RequestKey(1, "test", "00000000-0000-4000-8000-000000000009", b"")
    change = SubscriptionChange(settings=CopySettings(ignore_stops=True))
    await update_subscription(
        house.engine, UpdateSubscription(key, child.subscription_id, change), now=house.clock.now()
    )
    assert await house.repeat_stops() == []


async def test_a_child_that_was_closed_partly_gets_them_too(house):
    first = await moved(house)
    await house.deal(64, -0.5, position=900, entry=OUT)
    await house.dispatch()
    await refuse(house, first)
    (again,) = await house.repeat_stops()
    assert (stops_of(again), again.volumes_e8.size) == ([(1.1, 1.9)], 0)
    assert (await house.children())[0].open_volume_e8 == E8
