"""What lights a row red by the books alone, and what puts it out; what a server's report tells is in test_reconcile."""

from __future__ import annotations

from mismatch_twin import alarms

from apportion.allocation.domain.child_listing import ChildTradeFilter
from apportion.allocation.domain.copy_settings import CopySettings, LeavePolicy
from apportion.allocation.domain.master_trades import MasterTradeFilter
from apportion.allocation.domain.methods import AllocationMethod, AllocationMode
from apportion.allocation.domain.mismatch import Mismatch
from apportion.allocation.operations.follow_up_positions import follow_up_positions
from apportion.allocation.operations.get_subscription import get_subscription
from apportion.allocation.operations.list_child_trades import list_child_trades
from apportion.allocation.operations.list_master_trades import list_master_trades
from apportion.allocation.storage.child_listing import FIRST
from apportion.money import E8, INT64_MAX

OUT = 2
M = AllocationMethod


async def opened(house, method, *, lots=None, **settings):
    """A master has bought 1.00 for two followers, whose children have positions 5000 and 5001; of some rows so many
    lots were filled.
    """
    master = await house.master(method)
    for account_id in (101, 102):
        await house.follower(master, account_id, lot_e8=E8, settings=CopySettings(**settings))
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    items = batch.item_ids.tolist()
    await house.fill(batch, first_position=5_000, lots={items[row]: part for row, part in (lots or {}).items()})
    return master


async def of_master(house) -> tuple[Mismatch, ...]:
    """The mismatches of his one trade, open or closed."""
    page = {"before": INT64_MAX, "limit": 10}
    (row,) = await list_master_trades(house.engine, 1, MasterTradeFilter(with_closed=True), **page)
    wanted = MasterTradeFilter(with_closed=True, only_mismatched=True)
    red = await list_master_trades(house.engine, 1, wanted, **page)
    assert bool(red) is alarms(row.mismatches)
    return row.mismatches


async def of_children(house) -> dict[int, tuple[Mismatch, ...]]:
    """The mismatches of red child rows by account."""
    rows = await list_child_trades(house.engine, 1, ChildTradeFilter(only_mismatched=True), behind=FIRST, limit=10)
    return {row.child.account_id: row.mismatches for row in rows}


async def server_closes(house, batch) -> None:
    columns = batch.account_ids, batch.volumes_e8, batch.position_tickets
    for account_id, volume_e8, position in zip(*(column.tolist() for column in columns), strict=True):
        await house.deal(account_id, volume_e8 / E8, position=position, entry=OUT, ordered=True)
    await house.fill(batch)


async def master_closes(house, lots=1.0) -> None:
    """He and what his children have open."""
    await house.deal(64, -lots, position=900, entry=OUT)
    for batch in await house.dispatch():
        await server_closes(house, batch)


async def test_pl_mode_is_shown_and_no_alarm_until_he_trades_with_children_again(house):
    master = await house.master(M.DIVIDE_BY_EQUITY, allocation_mode=AllocationMode.PROFIT)
    await house.follower(master, 101)
    await house.deal(64, 1.0, position=900)
    await house.project()
    assert await of_master(house) == (Mismatch.PL_MODE,)
    other = await house.master(M.DIVIDE_BY_EQUITY, account_id=65)
    await house.follower(other, 102)
    await house.deal(65, 1.0, position=901)
    await house.project()
    wanted = MasterTradeFilter(master_id=other.master_id)
    (row,) = await list_master_trades(house.engine, 1, wanted, before=INT64_MAX, limit=10)
    assert row.mismatches == ()


async def test_copying_method_while_the_sums_differ(house):
    await opened(house, M.RATIO_MULTIPLIER)
    assert (await of_master(house), await of_children(house)) == ((Mismatch.COPYING_METHOD,), {})
    await house.deal(101, -1.0, position=5_000, entry=OUT)
    assert await of_master(house) == (), "1.00 and 1.00"
    await house.deal(64, -0.5, position=900, entry=OUT)
    assert await of_master(house) == (Mismatch.COPYING_METHOD,), "0.50 and still 1.00"
    for batch in await house.dispatch():
        await server_closes(house, batch)
    assert await of_master(house) == ()


async def test_unallocated_rest_until_the_master_has_no_more_than_his_children(house):
    await opened(house, M.DIVIDE_BY_LOT, max_lot_e8=E8 // 4)
    assert await of_master(house) == (Mismatch.UNALLOCATED_REST,)
    await house.deal(64, -0.5, position=900, entry=OUT)
    assert await of_master(house) == (Mismatch.UNALLOCATED_REST,), "the same part of what they have"
    await master_closes(house, 0.5)
    assert await of_master(house) == ()


async def test_a_leavers_rest_until_the_master_closes(house):
    await opened(house, M.DIVIDE_BY_LOT)
    leaver, _ = await house.children()
    await house.end(await get_subscription(house.engine, 1, leaver.subscription_id), LeavePolicy.DETACH)
    assert (await of_master(house), await of_children(house)) == ((Mismatch.UNALLOCATED_REST,), {})
    await master_closes(house)
    assert (await of_master(house), await of_children(house)) == ((), {}), "the detached one is nobody's business"


async def test_child_rejected_while_its_master_is_open(house):
    await opened(house, M.DIVIDE_BY_LOT, lots={0: 0})
    assert await of_master(house) == (Mismatch.CHILD_REJECTED,)
    assert await of_children(house) == {101: (Mismatch.CHILD_REJECTED,)}
    await master_closes(house)
    assert (await of_master(house), await of_children(house)) == ((), {})


async def test_what_waits_to_be_opened_again_is_not_rejected_yet(house):
    master = await house.master(M.DIVIDE_BY_LOT)
    for account_id in (101, 102):
        await house.follower(master, account_id, lot_e8=E8)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.tell_refused(batch, "REQUOTE")
    assert (await of_master(house), await of_children(house)) == ((), {})
    (again,) = await house.reopen()
    await house.fill(again, first_position=5_000, lots={again.item_ids.tolist()[0]: 0})
    assert await of_children(house) == {101: (Mismatch.CHILD_REJECTED,)}


async def test_child_missing_of_a_divided_sum_until_the_master_closes(house):
    await opened(house, M.DIVIDE_BY_LOT)
    await house.deal(101, -0.5, position=5_000, entry=OUT, reason=5)
    assert (await of_master(house), await of_children(house)) == ((Mismatch.CHILD_MISSING,), {})
    await master_closes(house)
    assert await of_master(house) == ()


async def test_child_extra_while_a_refused_close_is_not_repeated(house):
    await opened(house, M.DIVIDE_BY_LOT)
    await house.deal(64, -0.5, position=900, entry=OUT)
    (closing,) = await house.dispatch()
    assert await of_master(house) == (), "its close is on its way"
    await house.tell_refused(closing, "MARKET_CLOSED")
    assert await of_master(house) == (Mismatch.CHILD_EXTRA,)
    house.waiting += await follow_up_positions(house.engine, now=house.clock.now())
    assert await of_master(house) == (), "it is on its way again"
    (again,) = await house.dispatch()
    await server_closes(house, again)
    assert await of_master(house) == ()


async def test_child_extra_of_a_late_fill_is_closed_before_anybody_sees_it(house):
    master = await house.master(M.DIVIDE_BY_LOT)
    await house.follower(master, 101, lot_e8=E8)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.deal(64, -1.0, position=900, entry=OUT)
    await house.fill(batch, first_position=5_000)
    assert (await of_master(house), await of_children(house)) == ((), {101: (Mismatch.MASTER_CLOSED,)})
    (closing,) = await house.dispatch()
    await server_closes(house, closing)
    assert await of_children(house) == {}


async def test_master_closed_until_the_child_is(house):
    await opened(house, M.RATIO_MULTIPLIER)
    await house.deal(64, -1.0, position=900, entry=OUT)
    both = dict.fromkeys((101, 102), (Mismatch.MASTER_CLOSED,))
    assert await of_children(house) == both
    (closing,) = await house.dispatch()
    await house.tell_refused(closing, "MARKET_CLOSED")
    assert await of_children(house) == both
    house.waiting += await follow_up_positions(house.engine, now=house.clock.now())
    (again,) = await house.dispatch()
    await server_closes(house, again)
    assert (await of_master(house), await of_children(house)) == ((), {})
