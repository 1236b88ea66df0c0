"""Masters' trades as they should be and as they are."""

from __future__ import annotations

import pytest
from mismatch_twin import alarms

from apportion.allocation.domain.copy_settings import CopySettings, LeavePolicy
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.master_trades import MasterTradeFilter
from apportion.allocation.domain.methods import AllocationMethod
from apportion.allocation.domain.mismatch import Mismatch
from apportion.allocation.operations.count_mismatches import count_mismatches
from apportion.allocation.operations.list_master_trades import list_master_trades
from apportion.api.platform_groups.v1 import events_pb2
from apportion.money import E8, INT64_MAX

IN, OUT, IN_OUT = events_pb2.DEAL_ENTRY_IN, events_pb2.DEAL_ENTRY_OUT, events_pb2.DEAL_ENTRY_IN_OUT
M = AllocationMethod


async def trades(house, before=INT64_MAX, limit=10, **wanted):
    return await list_master_trades(house.engine, 1, MasterTradeFilter(**wanted), before=before, limit=limit)


async def opened(house, method, volume_lots=1.0, *, fill=True, lots=None, **settings):
    master = await house.master(method)
    for account_id in (101, 102):
        await house.follower(master, account_id, lot_e8=E8, settings=CopySettings(**settings))
    await house.deal(64, volume_lots, position=900)
    (batch,) = await house.dispatch()
    if fill:
        items = batch.item_ids.tolist()
        await house.fill(batch, first_position=5_000, lots={items[row]: part for row, part in (lots or {}).items()})
    else:
        await house.project()
    return master


def figures(row):
    facts = row.facts
    return tuple(
        row.direction * volume_e8 / E8
        for volume_e8 in (facts.open_volume_e8, facts.expected_volume_e8, facts.actual_volume_e8)
    )


async def test_a_divided_trade_adds_up(house):
    await opened(house, M.DIVIDE_BY_LOT, -1.0)
    (row,) = await trades(house)
    assert (figures(row), row.mismatches, row.symbol) == ((-1, -1, -1), (), "EURUSD")
    assert (row.child_count, row.open_child_count, row.rejected_child_count) == (2, 2, 0)
    await house.deal(64, 0.5, position=900, entry=OUT)
    (close,) = await house.dispatch()
    (row,) = await trades(house)
    assert (figures(row), row.mismatches) == ((-0.5, -0.5, -1), ()), "its closes are on their way"
    await house.fill(close)
    for ticket, account_id in ((5_000, 101), (5_001, 102)):
        await house.deal(account_id, 0.25, position=ticket, entry=OUT, ordered=True)
    (row,) = await trades(house)
    assert (figures(row), row.mismatches) == ((-0.5, -0.5, -0.5), ())


async def test_what_is_on_its_way_is_no_mismatch(house):
    await opened(house, M.DIVIDE_BY_LOT, fill=False)
    (row,) = await trades(house)
    assert (figures(row), row.mismatches) == ((1, 1, 0), ())


async def test_a_refused_child_breaks_the_sum_until_its_master_closes(house):
    await opened(house, M.DIVIDE_BY_LOT, lots={0: 0})
    (row,) = await trades(house)
    assert (figures(row), row.mismatches) == ((1, 1, 0.5), (Mismatch.CHILD_REJECTED,))
    assert row.rejected_child_count == 1
    assert (await count_mismatches(house.engine, 1, 7))["master_trades"] == 1
    await house.deal(64, -0.5, position=900, entry=OUT)
    (row,) = await trades(house)
    assert (figures(row)[1], row.mismatches) == (0.5, (Mismatch.CHILD_REJECTED,))


async def test_a_partly_filled_child_counts_as_refused(house):
    await opened(house, M.DIVIDE_BY_LOT, lots={0: 0.2})
    (row,) = await trades(house)
    assert (figures(row), row.mismatches) == ((1, 1, 0.7), (Mismatch.CHILD_REJECTED,))


async def test_a_rest_that_nobody_could_take(house):
    await opened(house, M.DIVIDE_BY_LOT, 3.0, max_lot_e8=E8)
    (row,) = await trades(house)
    assert (figures(row), row.mismatches) == ((3, 2, 2), (Mismatch.UNALLOCATED_REST,))


async def test_a_part_that_nobody_can_close_is_too_much_until_the_masters_last(house):
    house.symbols.grids["EURUSD"] = SymbolGrid(E8 // 100, E8 // 2, 100 * E8)
    await opened(house, M.DIVIDE_BY_LOT, 1.2)
    await house.deal(64, -0.3, position=900, entry=OUT)
    assert await house.dispatch() == [], "of 0.60 each at least 0.50 would have to stay, and a part have as much"
    (row,) = await trades(house)
    assert (figures(row), row.mismatches) == ((0.9, 1.2, 1.2), (Mismatch.CHILD_EXTRA,))
    assert await trades(house, only_mismatched=True) == [row]
    await house.deal(64, -0.9, position=900, entry=OUT)
    (closing,) = await house.dispatch()
    assert closing.volumes_e8.tolist() == [-6 * E8 // 10] * 2
    (row,) = await trades(house)
    assert (figures(row)[:2], row.mismatches) == ((0, 0), ())


async def test_a_stop_out_breaks_a_divided_sum_and_a_copied_position_is_its_investors(house):
    await opened(house, M.DIVIDE_BY_LOT)
    await house.deal(101, -0.5, position=5_000, entry=OUT)
    (row,) = await trades(house)
    assert (figures(row), row.mismatches) == ((1, 1, 0.5), (Mismatch.CHILD_MISSING,))


async def test_copied_trades_stand_alone_and_that_is_normal(house):
    await opened(house, M.RATIO_MULTIPLIER)
    (row,) = await trades(house)
    assert (figures(row), row.mismatches) == ((1, 2, 2), (Mismatch.COPYING_METHOD,))
    await house.deal(101, -1.0, position=5_000, entry=OUT)
    (row,) = await trades(house)
    assert (figures(row), row.mismatches) == ((1, 2, 1), ())
    assert await trades(house, only_mismatched=True) == []


async def test_a_leavers_share_is_unallocated_from_then_on(house):
    master = await house.master(M.DIVIDE_BY_LOT)
    leaver = await house.follower(master, 101, lot_e8=E8)
    await house.follower(master, 102, lot_e8=E8)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.fill(batch, first_position=5_000)
    await house.end(leaver, LeavePolicy.DETACH)
    (row,) = await trades(house)
    assert (figures(row), row.child_count, row.mismatches) == ((1, 0.5, 0.5), 1, (Mismatch.UNALLOCATED_REST,))


async def test_closed_ones_on_demand_newest_first_in_pages(house):
    master = await opened(house, M.DIVIDE_BY_LOT)
    await house.deal(64, 1.0, position=901)
    await house.deal(64, 1.0, position=900)  # more of the first: it keeps its place
    await house.project()
    rows = await trades(house)
    assert [row.position_ticket for row in rows] == [901, 900]
    assert [row.position_ticket for row in await trades(house, before=rows[0].first_allocation_id)] == [900]
    await house.deal(64, -1.0, position=901, entry=OUT)
    assert [row.position_ticket for row in await trades(house)] == [900]
    assert [row.position_ticket for row in await trades(house, with_closed=True)] == [901, 900]
    assert await trades(house, master_id=master.master_id + 1, with_closed=True) == []
    everything = MasterTradeFilter(with_closed=True)
    assert await list_master_trades(house.engine, 2, everything, before=INT64_MAX, limit=10) == []


async def test_a_reversal_counts_in_its_new_direction(house):
    await opened(house, M.DIVIDE_BY_LOT, lots={0: 0})
    await house.deal(64, -3.0, position=900, entry=IN_OUT)
    await house.project()
    _, batch = await house.dispatch()
    await house.fill(batch, first_position=6_000)
    await house.deal(102, -0.5, position=5_001, entry=OUT, ordered=True)
    (row,) = await trades(house)
    assert (figures(row), row.mismatches) == ((-2, -2, -2), ()), "what was refused before concerns nobody now"


@pytest.mark.parametrize("method", [M.DIVIDE_BY_LOT, M.RATIO_MULTIPLIER])
async def test_the_filter_and_the_flags_agree(house, method):
    house.symbols.grids["EURUSD"] = SymbolGrid(E8 // 10, E8 // 10, 100 * E8)
    await opened(house, method, lots={1: 0})
    for position, volume_lots in ((901, 0.1), (902, 2.0), (903, 250.0)):
        await house.deal(64, volume_lots, position=position)
        for batch in await house.dispatch():
            await house.fill(batch, first_position=10 * position)
    await house.deal(101, -1.0, position=9_020, entry=OUT)
    await house.deal(64, -2.0, position=902, entry=OUT)
    await house.project()
    for with_closed in (False, True):
        rows = await trades(house, with_closed=with_closed)
        filtered = await trades(house, with_closed=with_closed, only_mismatched=True)
        assert filtered == [row for row in rows if alarms(row.mismatches)]
        assert filtered
