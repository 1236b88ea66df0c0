"""A pooled master distributes profit instead of trades: records open, money is divided, nothing is sent."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from apportion.allocation.domain.child_trades import ChildTradeState
from apportion.allocation.domain.copy_settings import CopySettings
from apportion.allocation.domain.distributions import DistributionFilter
from apportion.allocation.domain.methods import AllocationMethod, AllocationMode, RoundingPolicy
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.get_master_summary import get_master_summary
from apportion.allocation.operations.halt_master import HaltMaster, halt_master
from apportion.allocation.storage.distributions import list_distributions, load_distribution
from apportion.allocation.workers.undistributed_watch import (
    UNDISTRIBUTED_COUNT,
    UNDISTRIBUTED_MINOR,
    UndistributedWatch,
)
from apportion.api.platform_groups.v1 import events_pb2
from apportion.money import E8, INT64_MAX
from apportion.storage import RequestKey, transaction

OUT, IN_OUT = events_pb2.DEAL_ENTRY_OUT, events_pb2.DEAL_ENTRY_IN_OUT
THIRDS = [333_333_334, 333_333_333, 333_333_333]


async def pooled(house, *equities_minor, **terms):
    master = await house.master(
        terms.pop("method", AllocationMethod.DIVIDE_BY_EQUITY), allocation_mode=AllocationMode.PROFIT, **terms
    )
    for number, equity_minor in enumerate(equities_minor):
        await house.follower(master, 101 + number, equity_minor=equity_minor)
    return master


async def distributions(house):
    """(header, columns) in the order of the deals."""
    async with transaction(house.engine) as tx:
        headers = await list_distributions(tx, 1, DistributionFilter(), before=INT64_MAX, limit=100)
        return [await load_distribution(tx, 1, header.allocation_id) for header in reversed(headers)]


async def records(house):
    """The rows of the records, oldest opening first, volumes signed."""
    await house.project()
    async with transaction(house.engine) as tx:
        query = "SELECT *, direction * open_volume_e8 AS signed_e8 FROM child_trades ORDER BY child_trade_id"
        return list(await tx.execute(text(query)))


async def payouts(house):
    """(account, amount) of all payouts, in the order in which they are made."""
    async with transaction(house.engine) as tx:
        query = "SELECT debit_account_id, credit_account_id, amount_minor FROM payouts ORDER BY item_id"
        return [
            (credit, amount) if debit == 64 else (debit, -amount)
            for debit, credit, amount in await tx.execute(text(query))
        ]


async def test_an_open_makes_records_and_sends_nothing(house):
    await pooled(house, 1, 1, 1)
    await house.deal(64, -1.29, position=900)
    assert await house.dispatch() == []
    made = await records(house)
    assert [record.proportion_e9 for record in made] == THIRDS
    assert {(record.symbol, record.state) for record in made} == {("CREDITEARN", ChildTradeState.FILLED)}
    assert [record.signed_e8 for record in made] == [-43_000_000, -42_999_999, -42_999_999]
    assert await distributions(house) == []


async def test_the_lot_grid_keeps_nobody_out_of_the_profit(house):
    await pooled(house, 999, 1)
    await house.deal(64, 0.01, position=900)
    assert [record.proportion_e9 for record in await records(house)] == [999_000_000, 1_000_000]
    await house.deal(64, -0.01, position=900, entry=OUT, money=(10_000, 0, 0))
    assert await payouts(house) == [(101, 9_990), (102, 10)]


async def test_profit_swap_and_commission_are_each_divided_to_the_cent(house):
    await pooled(house, 1, 1, 1)
    await house.deal(64, 1.0, position=900)
    ticket = await house.deal(64, -1.0, position=900, entry=OUT, money=(10_000, -100, -70))
    ((header, columns),) = await distributions(house)
    assert (header.deal_ticket, header.undistributed_minor, header.distributed_minor) == (ticket, 0, 9_830)
    assert columns.shares.profits_minor.tolist() == [3_334, 3_333, 3_333]
    assert columns.shares.swaps_minor.tolist() == [-34, -33, -33]
    assert columns.shares.commissions_minor.tolist() == [-24, -23, -23]
    assert await payouts(house) == [(101, 3_276), (102, 3_277), (103, 3_277)]
    assert {(record.state, record.signed_e8) for record in await records(house)} == {(ChildTradeState.CLOSED, 0)}


async def test_the_masters_residual_rule_decides(house):
    await pooled(house, 1, 1, 1, residual_rule=RoundingPolicy.LARGEST_REMAINDER)
    await house.deal(64, 1.0, position=900)
    await house.deal(64, -1.0, position=900, entry=OUT, money=(2, 0, 0))
    ((_, columns),) = await distributions(house)
    assert columns.shares.profits_minor.tolist() == [1, 1, 0]


async def test_commission_of_an_open_is_distributed_at_once(house):
    await pooled(house, 3, 1)
    await house.deal(64, 1.0, position=900, money=(0, 0, -400))
    assert await payouts(house) == [(101, -300), (102, -100)]
    ((header, _),) = await distributions(house)
    assert (header.kind, header.closed_volume_e8) == (1, 0)


async def test_a_partial_close_leaves_the_rest_of_the_records_open(house):
    await pooled(house, 3, 1)
    await house.deal(64, 2.0, position=900)
    await house.deal(64, -0.5, position=900, entry=OUT, money=(100, 0, 0))
    assert [record.signed_e8 for record in await records(house)] == [112_500_000, 37_500_000]
    assert {record.state for record in await records(house)} == {ChildTradeState.FILLED}
    await house.deal(64, -1.5, position=900, entry=OUT, money=(-50, 0, 0))
    assert await payouts(house) == [(101, 75), (102, 25), (101, -38), (102, -12)]
    assert {record.state for record in await records(house)} == {ChildTradeState.CLOSED}


async def test_a_repeated_close_is_distributed_once(house):
    await pooled(house, 1, 1)
    await house.deal(64, 1.0, position=900, money=(0, 0, -2))
    ticket = await house.deal(64, -1.0, position=900, entry=OUT, money=(100, 0, 0))
    await house.deal(64, -1.0, position=900, entry=OUT, ticket=ticket, money=(100, 0, 0))
    assert len(await distributions(house)) == 2
    assert len(await payouts(house)) == 4


async def test_who_comes_or_goes_between_open_and_close_changes_nothing(house):
    master = await pooled(house, 1, 1)
    await house.deal(64, 1.0, position=900)
    await house.follower(master, 110, equity_minor=1_000)
    async with transaction(house.engine) as tx:
        await tx.execute(text("UPDATE subscriptions SET active = false WHERE account_id = 101"))
    await house.deal(64, -1.0, position=900, entry=OUT, money=(100, 0, 0))
    assert await payouts(house) == [(101, 50), (102, 50)]


async def test_several_opens_of_one_position_take_part_by_what_is_open_of_them(house):
    master = await pooled(house, 1)
    await house.deal(64, 1.0, position=900)
    await house.follower(master, 102, equity_minor=1)
    await house.deal(64, 3.0, position=900)
    # 1 lot is all 101's, 3 lots are half each: 2.5 and 1.5 of 4.
    await house.deal(64, -2.0, position=900, entry=OUT, money=(800, 0, 0))
    assert await payouts(house) == [(101, 500), (102, 300)]
    assert [record.signed_e8 for record in await records(house)] == [E8 // 2, 3 * E8 // 4, 3 * E8 // 4]
    await house.deal(64, -2.0, position=900, entry=OUT, money=(-8, 0, 0))
    assert (await payouts(house))[2:] == [(101, -5), (102, -3)]


async def test_a_reversal_closes_all_records_and_opens_new_ones(house):
    master = await pooled(house, 1)
    await house.deal(64, 1.0, position=900)
    await house.follower(master, 102, equity_minor=1)
    await house.deal(64, -3.0, position=900, entry=IN_OUT, money=(500, -10, -30))
    (closing, _), (opening, _) = await distributions(house)
    assert (closing.money.total_minor, opening.money.total_minor) == (480, -20)
    assert await payouts(house) == [(101, 480), (101, -10), (102, -10)]
    assert [record.signed_e8 for record in await records(house)] == [0, -E8, -E8]


async def test_a_halt_keeps_everybody_out_and_closes_go_on(house):
    master = await pooled(house, 1, 1)
    await house.deal(64, 1.0, position=900)
    key = RequestKey(1, "test", "00000000-0000-4000-8000-000000000001", b"hash")
    await halt_master(house.engine, house.orders, HaltMaster(key, master.master_id, "risk"), now=house.clock.now())
    await house.deal(64, 1.0, position=901)
    await house.deal(64, -1.0, position=901, entry=OUT, money=(77, 0, 0))
    await house.deal(64, -1.0, position=900, entry=OUT, money=(100, 0, 0))
    (nobodys, _), _ = await distributions(house)
    assert (nobodys.undistributed_minor, nobodys.row_count) == (77, 0)
    assert nobodys.undistributed_reason == "PAUSED_BY_RISK"
    assert await payouts(house) == [(101, 50), (102, 50)]


async def test_percents_below_100_leave_the_rest_with_the_master(house):
    master = await pooled(house, method=AllocationMethod.DIVIDE_BY_PERCENT)
    await house.follower(master, 101, percent_e8=30 * E8)
    await house.deal(64, 1.0, position=900)
    await house.deal(64, -1.0, position=900, entry=OUT, money=(1_000, 0, 0))
    ((header, _),) = await distributions(house)
    assert (await payouts(house), header.undistributed_minor) == ([(101, 300)], 700)
    assert header.undistributed_reason == "PERCENT_BELOW_100"


async def test_money_that_is_nobodys_says_why(house):
    """Nobody subscribed, nobody's state is known, or those who count are filtered: it stays with the master, shown."""
    master = await pooled(house)

    async def close(position, profit_minor, **deal):
        await house.deal(64, 1.0, position=position, **deal)
        await house.deal(64, -1.0, position=position, entry=OUT, money=(profit_minor, 0, 0))

    await close(900, 5)
    await house.follower(master, 101, equity_minor=1)
    house.states.observed_time = house.clock.now() - timedelta(seconds=11)
    await close(901, -7, observed_time=house.clock.now() - timedelta(seconds=5))
    house.states.observed_time = house.clock.now()
    await close(902, 100)
    found = [header for header, _ in await distributions(house)]
    shown = [(header.undistributed_minor, header.undistributed_reason, header.row_count) for header in found]
    assert shown == [(5, "NO_SUBSCRIPTIONS", 0), (-7, "STALE_STATE", 0), (0, "", 1)]
    assert await payouts(house) == [(101, 100)]
    summary = await get_master_summary(house.engine, house.desk, 1, master.master_id, now=house.clock.now())
    assert summary.profit.undistributed_minor == -2


async def test_recent_money_that_is_nobodys_is_counted(house):
    master = await pooled(house, method=AllocationMethod.DIVIDE_BY_PERCENT)
    await house.follower(master, 101, percent_e8=30 * E8)
    for position, profit_minor in ((900, 1_000), (901, -500)):
        await house.deal(64, 1.0, position=position)
        await house.deal(64, -1.0, position=position, entry=OUT, money=(profit_minor, 0, 0))
    watch = UndistributedWatch(house.engine, house.clock)
    names = ("1", "USD", "PERCENT_BELOW_100")
    await watch.measure()
    assert UNDISTRIBUTED_MINOR.labels(*names)._value.get() == 700 + 350
    assert UNDISTRIBUTED_COUNT.labels(*names)._value.get() == 2
    house.clock.advance(86_401)
    await watch.measure()
    assert names not in UNDISTRIBUTED_MINOR._metrics


async def test_a_symbol_that_the_server_does_not_offer_is_distributed_too(house):
    """Nobody trades the records: they need no symbol."""
    await pooled(house, 3, 1)
    await house.deal(64, 1.0, position=900, symbol="XAUUSD")
    await house.deal(64, -1.0, position=900, symbol="XAUUSD", entry=OUT, money=(100, 0, 0))
    assert await payouts(house) == [(101, 75), (102, 25)]
    assert {record.state for record in await records(house)} == {ChildTradeState.CLOSED}


async def test_profit_of_a_position_from_before_he_was_a_master_is_noted(house):
    await pooled(house, 1)
    with capture_logs() as logged:
        ticket = await house.deal(64, -1.0, position=900, entry=OUT, money=(50, 0, -1))
    assert await distributions(house) == []
    (note,) = [entry for entry in logged if entry["event"] == "profit_of_unknown_position"]
    assert (note["deal_ticket"], note["amount_minor"]) == (ticket, 49)


async def test_a_deal_that_was_read_late_is_distributed_all_the_same(house):
    master = await pooled(house)
    await house.follower(master, 101, settings=CopySettings(max_age_ms=1_000))
    await house.deal(64, 1.0, position=900, age_ms=3_600_000)
    await house.deal(64, -1.0, position=900, entry=OUT, money=(9, 0, 0))
    assert await payouts(house) == [(101, 9)]


async def test_symbol_maps_are_for_children_that_trade(house):
    master = await pooled(house)
    await house.follower(master, 101, settings=CopySettings(symbol_map=(("EURUSD", "EURUSD.m"),)))
    await house.deal(64, 1.0, position=900)
    await house.deal(64, -1.0, position=900, entry=OUT, money=(9, 0, 0))
    assert await payouts(house) == [(101, 9)]


async def test_fees_hear_of_the_virtual_volumes_by_the_masters_deal(house):
    await pooled(house, 1, 1, 1)
    await house.deal(64, 1.0, position=900)
    ticket = await house.deal(64, -0.01, position=900, entry=OUT)
    (fact,) = await house.facts("children")
    assert list(fact.closed_volumes_e8) == [333_334, 333_333, 333_333]
    assert set(fact.deal_tickets) == {ticket}
    assert (fact.symbol, sum(fact.closed_volumes_e8)) == ("EURUSD", E8 // 100)
    assert [record.child_trade_id for record in await records(house)] == list(fact.child_trade_ids)


async def test_the_decision_explains_its_proportions(house):
    await pooled(house, 1, 1, 1)
    await house.deal(64, 1.0, position=900)
    (decision,) = house.waiting
    explained = await explain_allocation(house.engine, 1, decision.allocation_id, first=0, limit=10)
    assert explained.agrees
    assert [child.proportion_e9 for child in explained.children] == THIRDS
    async with transaction(house.engine) as tx:
        await tx.execute(text("UPDATE allocations SET figures = '' WHERE kind = 1"))
    assert not (await explain_allocation(house.engine, 1, decision.allocation_id, first=0, limit=10)).agrees


@pytest.mark.parametrize("seed", range(3))
async def test_over_random_days_not_a_cent_is_lost(house, seed):
    """Opens, partial closes, reversals and comings and goings: each deal's money is all somebody's."""
    random = np.random.default_rng(seed)
    master = await pooled(house, *random.integers(1, 10**6, 5).tolist())
    open_steps, booked = {}, {}
    for step in range(25):
        position = int(random.integers(900, 903))
        steps, was = int(random.integers(1, 100)), open_steps.get(position, 0)
        money = tuple(int(part) for part in random.integers(-(10**5), 10**5, 3))
        if was == 0 or random.random() < 0.3:
            volume, entry = steps if was >= 0 else -steps, events_pb2.DEAL_ENTRY_IN
            money = (0, 0, money[2])
        elif random.random() < 0.2:
            volume, entry = -was - steps if was > 0 else -was + steps, IN_OUT
        else:
            volume, entry = -max(-steps, -was) if was < 0 else -min(steps, was), OUT
        open_steps[position] = was + volume
        booked[await house.deal(64, volume / 100, position=position, entry=entry, money=money)] = sum(money)
        if step % 8 == 7:
            await house.follower(master, 200 + step, equity_minor=int(random.integers(1, 10**6)))
    found = await distributions(house)
    told = dict.fromkeys(booked, 0)
    for header, columns in found:
        told[header.deal_ticket] += header.money.total_minor
        assert header.undistributed_minor == 0
        assert int(columns.shares.totals_minor.sum()) == header.money.total_minor
    assert told == booked
    assert sum(amount for _, amount in await payouts(house)) == sum(booked.values())
