"""The owner serves its outbox again."""

from __future__ import annotations

import pytest
from events_sample.world import EVENT, LABEL, TOPIC, publish
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from apportion.errors import EventsMissing, InvalidArgument
from apportion.events import Head, ReplayPort
from apportion.storage import transaction


async def test_events_from_a_number_on_in_pages(publisher: AsyncEngine, port: ReplayPort) -> None:
    await publish(publisher, 1, count=130)
    await publish(publisher, 2)
    events = await port.events(LABEL, TOPIC, "1", 20)
    assert [event.sequence for event in events] == list(range(20, 120))
    assert {(event.label, event.aggregate_id, event.type, event.payload) for event in events} == {
        (LABEL, "1", EVENT, b"x")
    }
    assert await port.events(LABEL, TOPIC, "1", 131) == []
    assert await port.events(LABEL + 1, TOPIC, "1", 1) == []


async def test_page_ends_before_it_is_too_large_but_has_one_event(publisher: AsyncEngine, port: ReplayPort) -> None:
    await publish(publisher, 1, payload=b"x" * 700_000)
    await publish(publisher, 1, count=5, payload=b"x" * 200_000)
    assert [event.sequence for event in await port.events(LABEL, TOPIC, "1", 1)] == [1]
    assert [event.sequence for event in await port.events(LABEL, TOPIC, "1", 2)] == [2, 3]


async def test_heads_of_one_partition(publisher: AsyncEngine, port: ReplayPort) -> None:
    for number in range(0, 64 * 1_030, 64):
        await publish(publisher, number)
    await publish(publisher, 64, count=2)
    await publish(publisher, 1)
    pages = [page async for page in port.heads(TOPIC, 0)]
    assert [len(page) for page in pages] == [1_000, 30]
    assert Head(LABEL, "64", 3) in [head for page in pages for head in page]
    assert [page async for page in port.heads(TOPIC, 1)] == [[Head(LABEL, "1", 1)]]
    assert [page async for page in port.heads(TOPIC, 2)] == [[]]


async def test_refusals(port: ReplayPort) -> None:
    with pytest.raises(InvalidArgument) as refusal:
        await port.events(0, "", "", 0)
    assert {violation.field for violation in refusal.value.violations} == {
        "label", "aggregate_type", "aggregate_id", "from_sequence",
    }  # fmt: skip
    with pytest.raises(InvalidArgument):
        _ = [page async for page in port.heads(TOPIC, 64)]


@pytest.mark.parametrize("from_sequence", [1, 7])
async def test_an_event_behind_its_retention_is_named_and_not_passed_over(
    publisher: AsyncEngine, port: ReplayPort, from_sequence: int
) -> None:
    await publish(publisher, 1, count=10)
    async with transaction(publisher) as tx:
        await tx.execute(text("DELETE FROM outbox WHERE sequence <= 7"))
    with pytest.raises(EventsMissing, match=f"event {from_sequence} of {TOPIC}/1 is gone") as refusal:
        await port.events(LABEL, TOPIC, "1", from_sequence)
    assert refusal.value.metadata == {"sequence": str(from_sequence)}
    assert [event.sequence for event in await port.events(LABEL, TOPIC, "1", 8)] == [8, 9, 10]
    assert await port.events(LABEL, TOPIC, "1", 11) == []


async def test_an_aggregate_whose_events_are_all_gone(publisher: AsyncEngine, port: ReplayPort) -> None:
    await publish(publisher, 1, count=3)
    async with transaction(publisher) as tx:
        await tx.execute(text("DELETE FROM outbox"))
    with pytest.raises(EventsMissing):
        await port.events(LABEL, TOPIC, "1", 3)
    assert await port.events(LABEL, TOPIC, "1", 4) == []
