"""Lives of a trade that other files do not tell: races of opens, closes and hands, each with what it must come to."""

from __future__ import annotations

import pytest
from conftest import deals_observed

from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.copy_settings import CopySettings
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.reopen_children import reopen_children
from apportion.money import E8

OUT, IN_OUT = 2, 3
STOP_LOSS, STOP_OUT = 3, 5
HOUR_MS = 3_600_000


async def opened(house, *account_ids: int, **more):
    """A master has bought 1.00 on position 900 for these followers. Returns (master, batch of open orders)."""
    master = await house.master(**more)
    for account_id in account_ids:
        await house.follower(master, account_id)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    return master, batch


async def filled(house, *account_ids: int, **more):
    """As `opened`; the children have positions 5000, 5001, …"""
    master, batch = await opened(house, *account_ids, **more)
    await house.fill(batch, first_position=5_000)
    return master


async def last_fact(house):
    return (await house.facts("allocations"))[-1]


async def open_lots(house):
    return [child.open_volume_e8 / E8 for child in await house.children()]


async def announced(house) -> list[tuple[int, float]]:
    """(account, lots) that others were told to be closed, in order."""
    facts = await house.facts("children")
    columns = [(fact.account_ids, fact.closed_volumes_e8) for fact in facts]
    return [(a, v / E8) for accounts, volumes in columns for a, v in zip(accounts, volumes, strict=True)]


async def follow_up(house):
    """What the next look finds to be closed."""
    house.waiting += await follow_up_positions(house.engine, now=house.clock.now())
    return await house.dispatch()


class TestStops:
    async def test_a_stop_out_of_the_master_closes_his_children(self, house):
        await filled(house, 101, 102)
        await house.deal(64, -1.0, position=900, entry=OUT, reason=STOP_OUT)
        (closing,) = await house.dispatch()
        assert closing.volumes_e8.tolist() == [-E8, -E8]

    @pytest.mark.parametrize("reason", [STOP_LOSS, STOP_OUT])
    async def test_a_stopped_child_stays_closed_and_the_others_follow_on(self, house, reason):
        await filled(house, 101, 102)
        await house.deal(101, -1.0, position=5_000, entry=OUT, reason=reason)
        assert await follow_up(house) == [], "never opened again"
        await house.deal(64, -0.5, position=900, entry=OUT)
        (closing,) = await house.dispatch()
        assert (closing.account_ids.tolist(), closing.volumes_e8.tolist()) == ([102], [-E8 // 2])
        assert await announced(house) == [(101, 1.0)]

    async def test_a_child_that_is_stopped_out_while_its_close_is_under_way_is_closed_once(self, house):
        await filled(house, 101)
        await house.deal(64, -0.4, position=900, entry=OUT)
        (closing,) = await house.dispatch()
        await house.deal(101, -1.0, position=5_000, entry=OUT, reason=STOP_OUT)
        await house.fill(closing, lots={closing.item_ids.tolist()[0]: 0})
        assert await follow_up(house) == []
        await house.deal(64, -0.6, position=900, entry=OUT)
        assert await house.dispatch() == []
        assert (await open_lots(house), await announced(house)) == ([0], [(101, 1.0)])


class TestOffline:
    """What happened while nobody read is told late, in its order."""

    async def test_a_master_who_closed_meanwhile_is_followed_however_late(self, house):
        await filled(house, 101)
        house.clock.advance(3_600)
        await house.deal(64, -1.0, position=900, entry=OUT, age_ms=HOUR_MS)
        (closing,) = await house.dispatch()
        assert closing.volumes_e8.tolist() == [-E8]

    async def test_a_master_who_opened_and_closed_meanwhile_is_not(self, house):
        master = await house.master()
        await house.follower(master, 101)
        message = deals_observed(
            [(1, 64, 900, 1, E8, False, "EURUSD"), (2, 64, 900, OUT, -E8, False, "EURUSD")],
            house.clock.now(),
            age_ms=HOUR_MS,
        )
        await house.tell(message)
        assert await house.dispatch() == []
        assert await house.children() == []

    async def test_what_he_has_left_of_a_trade_that_was_too_late_closes_nobodys_else(self, house):
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900, age_ms=HOUR_MS)
        await house.deal(64, 1.0, position=901)
        (batch,) = await house.dispatch()
        await house.fill(batch, first_position=5_000)
        await house.deal(64, -1.0, position=900, entry=OUT)
        assert await house.dispatch() == []
        assert await open_lots(house) == [1.0]

    async def test_an_investor_who_closed_meanwhile_is_read_after_his_masters_close(self, house):
        await filled(house, 101)
        await house.deal(64, -0.5, position=900, entry=OUT)
        (closing,) = await house.dispatch()
        await house.deal(101, -1.0, position=5_000, entry=OUT)
        await house.fill(closing, lots={closing.item_ids.tolist()[0]: 0})
        assert (await open_lots(house), await follow_up(house)) == ([0], [])


class TestHands:
    async def test_positions_opened_by_hand_follow_no_close(self, house):
        await filled(house, 101)
        await house.deal(101, 2.0, position=7_000)
        await house.deal(101, -0.5, position=7_000, entry=OUT)
        await house.deal(64, -1.0, position=900, entry=OUT)
        (closing,) = await house.dispatch()
        assert closing.position_tickets.tolist() == [5_000]
        assert await announced(house) == []

    async def test_a_reduced_child_keeps_the_ratio_through_a_sequence(self, house):
        await filled(house, 101)
        await house.deal(101, -0.6, position=5_000, entry=OUT)
        for lots, part in ((0.5, 0.2), (0.25, 0.1), (0.25, 0.1)):
            await house.deal(64, -lots, position=900, entry=OUT)
            (closing,) = await house.dispatch()
            assert closing.volumes_e8.tolist() == [-round(part * E8)]
            await house.deal(101, -part, position=5_000, entry=OUT, ordered=True)
            await house.fill(closing)
        assert await open_lots(house) == [0]

    async def test_a_hand_that_meets_a_close_under_way_leaves_nothing_too_much(self, house):
        """His 0.8 and the half ordered of 1.0 meet: the server has 0.2 left for our order, and the books agree."""
        await filled(house, 101)
        await house.deal(64, -0.5, position=900, entry=OUT)
        (closing,) = await house.dispatch()
        await house.deal(101, -0.8, position=5_000, entry=OUT)
        await house.deal(101, -0.2, position=5_000, entry=OUT, ordered=True)
        await house.fill(closing, lots={closing.item_ids.tolist()[0]: 0.2})
        assert (await open_lots(house), await follow_up(house)) == ([0], [])
        assert await announced(house) == [(101, 0.8), (101, 0.2)]


class TestCloses:
    @pytest.mark.parametrize("reason", ["MARKET_CLOSED", "REJECTED_BY_SERVER", "ACCOUNT_NOT_OPEN"])
    async def test_a_refused_part_is_closed_with_the_next_look_and_once(self, house, reason):
        await filled(house, 101)
        await house.deal(64, -0.4, position=900, entry=OUT)
        (closing,) = await house.dispatch()
        await house.tell_refused(closing, reason)
        (child,) = await house.children()
        assert (child.reason, child.open_volume_e8) == (reason, E8)
        (again,) = await follow_up(house)
        assert again.volumes_e8.tolist() == [-2 * E8 // 5]
        assert await follow_up(house) == [], "it is under way"
        await house.deal(101, -0.4, position=5_000, entry=OUT, ordered=True)
        await house.fill(again)
        assert (await open_lots(house), await follow_up(house)) == ([0.6], [])

    async def test_a_refused_part_and_the_masters_next_part_close_both(self, house):
        await filled(house, 101)
        await house.deal(64, -0.4, position=900, entry=OUT)
        (refused,) = await house.dispatch()
        await house.tell_refused(refused, "MARKET_CLOSED")
        await house.deal(64, -0.3, position=900, entry=OUT)
        (second,) = await house.dispatch()
        assert second.volumes_e8.tolist() == [-3 * E8 // 10]
        await house.deal(101, -0.3, position=5_000, entry=OUT, ordered=True)
        await house.fill(second)
        (rest,) = await follow_up(house)
        assert rest.volumes_e8.tolist() == [-2 * E8 // 5]

    async def test_a_close_that_was_done_in_part_is_finished(self, house):
        await filled(house, 101)
        await house.deal(64, -1.0, position=900, entry=OUT)
        (closing,) = await house.dispatch()
        await house.fill(closing, lots={closing.item_ids.tolist()[0]: 0.3})
        await house.deal(101, -0.3, position=5_000, entry=OUT, ordered=True)
        (rest,) = await follow_up(house)
        assert rest.volumes_e8.tolist() == [-7 * E8 // 10]

    @pytest.mark.parametrize("at_once", [False, True])
    async def test_rests_below_min_lot_are_closed_with_the_last_part_or_at_once_and_explained(self, house, at_once):
        house.symbols.grids["EURUSD"] = SymbolGrid(E8 // 100, E8 // 10, 100 * E8)
        master = await house.master(AllocationMethod.DIVIDE_BY_LOT)
        for account_id, lot_e8 in ((101, 15 * E8), (102, 85 * E8)):
            settings = CopySettings(close_small_rest=at_once)
            await house.follower(master, account_id, lot_e8=lot_e8, settings=settings)
        await house.deal(64, 1.0, position=900)
        (batch,) = await house.dispatch()
        await house.fill(batch, first_position=5_000)
        await house.deal(64, -0.5, position=900, entry=OUT)
        (closing,) = await house.dispatch()
        small, large = (0.15, 0.35) if at_once else (0, 0.5)
        closed = dict(zip(closing.account_ids.tolist(), (closing.volumes_e8 / -E8).tolist(), strict=True))
        assert (closed.get(101, 0), closed[102]) == (small, large), "together what the master closed"
        explained = await explain_allocation(
            house.engine, 1, int(closing.source_id.removeprefix("allocation/")), first=0, limit=10
        )
        assert explained.agrees
        assert [child.text for child in explained.children] == [
            f"0.15 lot open × 1/2 closed by the master → {'0.15' if at_once else '0'} lot (min lot 0.1)",
            f"0.85 lot open × 1/2 closed by the master → {'0.35' if at_once else '0.5'} lot (min lot 0.1)",
        ]
        for account_id, position in ((101, 5_000), (102, 5_001)):
            if closed.get(account_id):
                await house.deal(account_id, -closed[account_id], position=position, entry=OUT, ordered=True)
        await house.deal(64, -0.5, position=900, entry=OUT)
        (last,) = await house.dispatch()
        assert last.volumes_e8.sum() == -E8 // 2
        assert await follow_up(house) == []

    async def test_a_partly_filled_child_closes_all_it_has_in_the_end(self, house):
        _, batch = await opened(house, 101)
        await house.fill(batch, first_position=5_000, lots={batch.item_ids.tolist()[0]: 0.37})
        for lots, part in ((0.5, 0.19), (0.5, 0.18)):
            await house.deal(64, -lots, position=900, entry=OUT)
            (closing,) = await house.dispatch()
            assert closing.volumes_e8.tolist() == [-round(part * E8)]
            await house.deal(101, -part, position=5_000, entry=OUT, ordered=True)
        assert await open_lots(house) == [0]


class TestOpensThatComeTooLate:
    async def test_one_that_was_left_behind_is_not_begun_after_its_master_closed(self, house):
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900)
        (opening, *_) = house.waiting
        house.at_hand.clear()
        await house.deal(64, -1.0, position=900, entry=OUT)
        assert await house.dispatch() == []
        (child,) = await house.children()
        assert (child.state, child.reason) == (ChildTradeState.EXPIRED, "MASTER_CLOSED")
        await house.dispatch_stored(opening.allocation_id)
        assert house.orders.batches == []

    async def test_nor_after_he_turned(self, house):
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900)
        house.at_hand.clear()
        await house.deal(64, -1.5, position=900, entry=IN_OUT)
        (turned,) = await house.dispatch()
        assert turned.volumes_e8.tolist() == [-E8 // 2]

    async def test_what_he_has_closed_in_part_is_opened_and_brought_down(self, house):
        master = await house.master()
        await house.follower(master, 101)
        await house.deal(64, 1.0, position=900)
        house.at_hand.clear()
        await house.deal(64, -0.25, position=900, entry=OUT)
        (batch,) = await house.dispatch()
        await house.fill(batch, first_position=5_000)
        (closing,) = await house.dispatch()
        assert (batch.volumes_e8.tolist(), closing.volumes_e8.tolist()) == ([E8], [-E8 // 4])

    async def test_a_retry_is_not_begun_after_its_master_closed(self, house):
        _, batch = await opened(house, 101)
        await house.tell_refused(batch, "REQUOTE")
        house.clock.advance(0.5)
        house.waiting += await reopen_children(house.engine, house.desk.limits.retries, now=house.clock.now())
        await house.deal(64, -1.0, position=900, entry=OUT)
        assert await house.dispatch() == []
        (child,) = await house.children()
        assert (child.state, child.reason) == (ChildTradeState.EXPIRED, "MASTER_CLOSED")

    async def test_a_retry_that_fills_after_its_master_closed_is_closed_at_once(self, house):
        _, batch = await opened(house, 101)
        await house.tell_refused(batch, "REQUOTE")
        (again,) = await house.reopen()
        await house.deal(64, -1.0, position=900, entry=OUT)
        assert await house.dispatch() == []
        await house.fill(again, first_position=5_000)
        (closing,) = await house.dispatch()
        assert (closing.position_tickets.tolist(), closing.volumes_e8.tolist()) == ([5_000], [-E8])

    async def test_a_retry_that_fills_in_part_after_a_partial_close_keeps_the_ratio(self, house):
        _, batch = await opened(house, 101)
        await house.tell_refused(batch, "REQUOTE")
        (again,) = await house.reopen()
        await house.deal(64, -0.5, position=900, entry=OUT)
        await house.fill(again, first_position=5_000, lots={again.item_ids.tolist()[0]: 0.4})
        (closing,) = await house.dispatch()
        assert closing.volumes_e8.tolist() == [-E8 // 5]


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
