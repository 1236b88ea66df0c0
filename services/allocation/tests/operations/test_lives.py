"""Lives of a trade that other files do not tell: races of opens, closes and hands, each with what it must come to."""

from __future__ import annotations

from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.money import E8

OUT, IN_OUT = 2, 3


async def opened(house, *account_ids: int, **more):
    """A master has bought 1.00 on position 900 for these followers. Returns (master, batch of open orders)."""
    master = await house.master(**more)
    for account_id in account_ids:
        await house.follower(master, account_id)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    return master, batch


async def last_fact(house):
    return (await house.facts("allocations"))[-1]


async def test_a_late_close_after_a_reversal_tells_the_masters_volume_in_its_old_direction(house):
    _, late = await opened(house, 101)
    await house.deal(64, -1.6, position=900, entry=IN_OUT)
    await house.dispatch()
    await house.fill(late, first_position=5_000)
    fact = await last_fact(house)
    assert (fact.allocation.kind, fact.allocation.wave) == (2, 1)
    assert fact.allocation.master_volume_e8 == -E8, "the master sold what he had bought"
    assert fact.allocation.child_volume_sum_e8 == -E8
    assert list(fact.children.volumes_e8) == [-E8]
    assert (await explain_allocation(house.engine, 1, fact.allocation.allocation_id, first=0, limit=10)).agrees


async def test_late_closes_of_both_directions_are_two_decisions(house):
    _, bought = await opened(house, 101)
    await house.deal(64, -1.6, position=900, entry=IN_OUT)
    (sold,) = await house.dispatch()
    await house.deal(64, 0.6, position=900, entry=OUT)
    await house.tell_missed(bought)
    await house.fill(sold, first_position=5_001)
    (closing,) = await house.dispatch()
    assert closing.volumes_e8.tolist() == [3 * E8 // 5]
    await house.fill(closing, lots={closing.item_ids.tolist()[0]: 0})
    await house.fill(bought, first_position=5_000)
    facts = (await house.facts("allocations"))[-2:]
    assert sorted(fact.allocation.master_volume_e8 for fact in facts) == [-E8, 3 * E8 // 5]
    batches = await house.dispatch()
    assert sorted((batch.position_tickets.tolist(), batch.volumes_e8.tolist()) for batch in batches) == [
        ([5_000], [-E8]),
        ([5_001], [3 * E8 // 5]),
    ]
