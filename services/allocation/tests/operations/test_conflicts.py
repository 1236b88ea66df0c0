"""A deal that contradicts what is known of it is set aside; the other deals and masters of its event go on."""

from __future__ import annotations

import pytest
from conftest import deals_observed

from apportion.events import list_set_aside
from apportion.money import E8

IN, OUT, IN_OUT = 1, 2, 3


def told(house, *deals: tuple[int, int, int, int, float]):
    """(ticket, account, position, entry, lots) in one event."""
    rows = [
        (ticket, account_id, position, entry, round(lots * E8), False, "EURUSD")
        for ticket, account_id, position, entry, lots in deals
    ]
    return house.tell(deals_observed(rows, house.clock.now()))


async def decisions(house) -> list[tuple[int, int, float]]:
    facts = [fact.allocation for fact in await house.facts("allocations")]
    return [(fact.master_id, fact.deal_ticket, fact.master_volume_e8 / E8) for fact in facts]


async def parts(house) -> list[str]:
    return [aside.part for aside in await list_set_aside(house.engine)]


async def test_the_others_of_the_event_go_on(house):
    first, second = await house.master(), await house.master(account_id=65)
    await house.follower(first, 101)
    await house.follower(second, 102)
    await told(house, (1, 64, 900, IN, 1.0))
    await told(house, (1, 64, 900, IN, 2.0), (2, 64, 901, IN, 0.5), (3, 65, 902, IN, 0.3))
    assert await parts(house) == ["deal 1 of account 64"]
    assert await decisions(house) == [
        (first.master_id, 1, 1.0),
        (first.master_id, 2, 0.5),
        (second.master_id, 3, 0.3),
    ]


@pytest.mark.parametrize("known", [(5, 64, 900, OUT, -0.5), (5, 64, 900, IN_OUT, -1.5)])
async def test_a_known_close_or_reversal_with_other_figures_writes_nothing(house, known):
    master = await house.master()
    await house.follower(master, 101)
    await told(house, (4, 64, 900, IN, 1.0), known)
    before = await decisions(house)
    *deal, lots = known
    await told(house, (*deal, lots - 0.1), known)
    assert await parts(house) == ["deal 5 of account 64"]
    assert await decisions(house) == before, "what is told again as it was changes nothing either"
    await told(house, (6, 64, 900, OUT, -0.2 if lots > -1 else 0.2))
    assert len(await decisions(house)) == len(before) + 1, "the position goes on"


async def test_a_reversal_of_a_position_that_nobody_saw_is_known_again(house):
    master = await house.master()
    await house.follower(master, 101)
    await told(house, (5, 64, 900, IN_OUT, -1.5))
    await told(house, (5, 64, 900, IN_OUT, -1.5))
    assert (await parts(house), await decisions(house)) == ([], [(master.master_id, 5, -1.5)])
