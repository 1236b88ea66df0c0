"""What a subscription's settings and its master's method make of a trade, from the deal to the order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from apportion.allocation.domain.allocations import AllocationFilter, MasterTrade
from apportion.allocation.domain.copy_settings import CopySettings, DirectionFilter
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.methods import AllocationMethod, LotMode, RoundingPolicy
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.operations.allocate_trade import AllocateTrade, allocate_trade
from apportion.allocation.operations.explain_allocation import explain_allocation
from apportion.allocation.operations.get_allocation import get_allocation
from apportion.allocation.operations.list_allocations import list_allocations
from apportion.allocation.operations.preview_trade import preview_trade
from apportion.allocation.storage.masters import load_master
from apportion.api.platform_groups.v1 import events_pb2
from apportion.errors import UpstreamUnavailable
from apportion.money import E8, INT64_MAX
from apportion.storage import RequestKey, transaction

OUT = events_pb2.DEAL_ENTRY_OUT
GRID = SymbolGrid(E8 // 100, E8 // 100, 100 * E8)


async def reasons(house) -> list[str]:
    """Of the newest decision, which is also recomputed from the store."""
    (newest,) = await list_allocations(house.engine, 1, AllocationFilter(), before=INT64_MAX, limit=1)
    explanation = await explain_allocation(house.engine, 1, newest.allocation_id, first=0, limit=100)
    assert explanation.agrees
    _, page = await get_allocation(house.engine, 1, newest.allocation_id, first=0, limit=100)
    return [SkipReason(reason).name for reason in page.reasons.tolist()]


async def explained(house, allocation_id: int) -> list[int]:
    """The volumes that the explanation of a decision shows."""
    explanation = await explain_allocation(house.engine, 1, allocation_id, first=0, limit=100)
    assert [child.recomputed_volume_e8 for child in explanation.children] == [
        child.stored_volume_e8 for child in explanation.children
    ]
    return [child.stored_volume_e8 for child in explanation.children]


async def test_filters_maps_and_directions_in_one_decision(house):
    house.symbols.grids["EURUSD.m"] = house.symbols.grids["EURUSD"]
    house.symbols.grids["EURUSD.low"] = replace(house.symbols.grids["EURUSD"], max_e8=E8 // 2)
    house.symbols.grids["EURUSD.micro"] = SymbolGrid(E8 // 10, E8 // 10, E8)
    master = await house.master()
    for account_id, settings in (
        (101, CopySettings()),
        (102, CopySettings(symbol_map=(("EURUSD", "EURUSD.m"),))),
        (103, CopySettings(reverse=True)),
        (104, CopySettings(direction_filter=DirectionFilter.SELL_ONLY)),
        (105, CopySettings(denied_symbols=("EURUSD",))),
        (106, CopySettings(symbol_map=(("EURUSD", "EURUSD.micro"),))),
        (107, CopySettings(symbol_map=(("EURUSD", "EURUSD.gone"),))),
        (108, CopySettings(max_lot_e8=E8 // 4)),
        (109, CopySettings(symbol_map=(("EURUSD", "EURUSD.low"),))),
    ):
        await house.follower(master, account_id, settings=settings)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    assert batch.account_ids.tolist() == [101, 102, 103, 108, 109]
    assert batch.child_symbols == ["EURUSD", "EURUSD.m", "EURUSD", "EURUSD", "EURUSD.low"]
    assert batch.volumes_e8.tolist() == [E8, E8, -E8, E8 // 4, E8 // 2]
    assert await reasons(house) == [
        *("NONE", "NONE", "NONE", "FILTERED", "FILTERED", "SYMBOL_UNMAPPED", "SYMBOL_UNMAPPED", "CAPPED", "CAPPED")
    ]
    await house.fill(batch, first_position=5_000)
    children = await house.children()
    assert [child.open_volume_e8 for child in children] == [E8, E8, -E8, E8 // 4, E8 // 2]
    assert [child.symbol for child in children] == ["EURUSD", "EURUSD.m", "EURUSD", "EURUSD", "EURUSD.low"]
    (fact,) = await house.facts("allocations")
    assert list(fact.children.volumes_e8) == [E8, E8, -E8, 0, 0, 0, 0, E8 // 4, E8 // 2]
    assert await explained(house, fact.allocation.allocation_id) == list(fact.children.volumes_e8)

    await house.deal(64, -1.0, position=900, entry=OUT)
    (close,) = await house.dispatch()
    assert close.volumes_e8.tolist() == [-E8, -E8, E8, -E8 // 4, -E8 // 2]
    assert close.child_symbols == batch.child_symbols
    fact = (await house.facts("allocations"))[-1]
    assert list(fact.children.volumes_e8) == [-E8, -E8, E8, -E8 // 4, -E8 // 2]
    assert await explained(house, fact.allocation.allocation_id) == list(fact.children.volumes_e8)


async def test_what_is_open_limits_what_comes(house):
    master = await house.master()
    await house.follower(master, 101, settings=CopySettings(max_total_lot_e8=3 * E8 // 2))
    await house.follower(master, 102, settings=CopySettings(max_open_positions=1))
    await house.follower(master, 103)
    await house.deal(64, 1.0, position=900)
    await house.dispatch()
    await house.deal(64, 1.0, position=901)  # the first orders have no result yet: they count as they were decided
    (second,) = await house.dispatch()
    assert (second.account_ids.tolist(), second.volumes_e8.tolist()) == ([101, 103], [E8 // 2, E8])
    assert await reasons(house) == ["CAPPED", "CAPPED", "NONE"]


async def test_stops_travel_with_the_order(house):
    master = await house.master()
    for account_id, settings in (
        (101, CopySettings()),
        (102, CopySettings(reverse=True)),
        (103, CopySettings(ignore_stops=True)),
    ):
        await house.follower(master, account_id, settings=settings)
    await house.deal(64, 1.0, position=900, stops=(109 * E8 // 100, 113 * E8 // 100))
    (batch,) = await house.dispatch()
    assert batch.stop_losses_e8.tolist() == [109_000_000, 113_000_000, 0]
    assert batch.take_profits_e8.tolist() == [113_000_000, 109_000_000, 0]
    await house.deal(64, 1.0, position=901)
    (batch,) = await house.dispatch()
    assert (batch.stop_losses_e8.size, batch.take_profits_e8.size) == (0, 0)


async def test_slippage_is_measured_from_the_masters_price(house):
    master = await house.master()
    await house.follower(master, 101, settings=CopySettings(max_slippage_points=20))
    await house.follower(master, 102)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    assert (batch.max_slippages_e8.tolist(), batch.reference_price_e8) == ([20_000, 0], E8)


async def test_age_by_the_servers_clock(house):
    master = await house.master()
    await house.follower(master, 101, settings=CopySettings(max_age_ms=500))
    await house.follower(master, 102)
    await house.deal(64, 1.0, position=900, age_ms=501)
    (batch,) = await house.dispatch()
    assert batch.account_ids.tolist() == [102]
    assert await reasons(house) == ["TOO_LATE", "NONE"]
    await house.deal(64, 1.0, position=901, age_ms=10_001)  # deals read after an outage are old, whenever they are read
    assert await house.dispatch() == []
    assert await reasons(house) == ["TOO_LATE", "TOO_LATE"]


async def test_equity_percent_derives_the_masters_volume(house):
    """The published figures: 10 % and 20 % of 10 000 and 6 000, leverage 100, USDJPY at 0.7062: 1.4 and 1.7 lots."""
    house.symbols.grids["USDJPY"] = SymbolGrid(E8 // 10, E8 // 10, 100 * E8)
    house.rates.rates_e8["USD", "USD"] = E8
    house.symbols.margin_currencies["USDJPY"] = "XUS"
    house.rates.rates_e8["XUS", "USD"] = 70_620_000
    master = await house.master(AllocationMethod.EQUITY_PERCENT)
    await house.follower(master, 101, equity_minor=1_000_000, percent_e8=10 * E8)
    await house.follower(master, 102, equity_minor=600_000, percent_e8=20 * E8)
    key = RequestKey(1, "AllocateTrade", "00000000-0000-4000-8000-000000000001", b"")
    command = AllocateTrade(key, master.master_id, MasterTrade(500, 900, "USDJPY", 10 * E8, E8, 0))
    allocation, page = await allocate_trade(house.engine, house.desk, command, limit=10, now=house.clock.now())
    assert page.volumes_e8.tolist() == [140_000_000, 170_000_000]
    assert (allocation.master_volume_e8, allocation.trade.volume_e8) == (310_000_000, 10 * E8)
    # The order that was placed on the master for it arrives as the deal that was decided.
    await house.deal(64, 3.1, position=900, ticket=500, symbol="USDJPY")
    assert len(await house.facts("allocations")) == 1
    # A method that lacks its rate waits a while for it, and then keeps everybody out, with the reason.
    del house.rates.rates_e8["XUS", "USD"]
    read_time = house.clock.now()
    with pytest.raises(UpstreamUnavailable):
        await house.deal(64, 1.0, position=901, ticket=501, symbol="USDJPY", observed_time=read_time)
    assert len(await house.facts("allocations")) == 1
    house.clock.advance(5)
    await house.deal(64, 1.0, position=901, ticket=501, symbol="USDJPY", observed_time=read_time)
    assert await house.dispatch() == []
    assert await reasons(house) == ["NO_PRICE", "NO_PRICE"]


async def test_lot_multiplier_lets_each_choose(house):
    master = await house.master(AllocationMethod.LOT_MULTIPLIER, equity_minor=100_000)
    await house.follower(master, 101, lot_e8=130_000_000, lot_mode=LotMode.MULTIPLIER)
    await house.follower(master, 102, lot_e8=70_000_000, lot_mode=LotMode.FIXED)
    await house.follower(master, 103, equity_minor=50_000, percent_e8=50 * E8, lot_mode=LotMode.RISK)
    await house.follower(master, 104, equity_minor=30_000, percent_e8=E8, lot_mode=LotMode.EQUITY)
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    assert batch.volumes_e8.tolist() == [130_000_000, 70_000_000, 25_000_000, 300_000_000]


async def test_equal_risk_makes_up_for_what_was_held(house):
    house.rates.rates_e8["EUR", "USD"] = E8
    master = await house.master(AllocationMethod.EQUAL_RISK)
    await house.follower(master, 101, equity_minor=300_000_000)
    await house.deal(64, 1.0, position=900)
    await house.dispatch()
    await house.follower(master, 102, equity_minor=100_000_000)
    await house.deal(64, 1.0, position=901)
    (batch,) = await house.dispatch()
    # Of 2.00 lots 101 should hold 1.50 and 102 0.50: 101 has 1.00.
    assert (batch.account_ids.tolist(), batch.volumes_e8.tolist()) == ([101, 102], [50_000_000, 50_000_000])
    await house.deal(64, -1.0, position=902)  # sells are a book of their own
    (batch,) = await house.dispatch()
    assert batch.volumes_e8.tolist() == [-75_000_000, -25_000_000]


async def test_carry_is_owed_until_it_is_paid(house):
    master = await house.master(AllocationMethod.DIVIDE_BY_EQUITY, rounding=RoundingPolicy.CARRY)
    for account_id, equity in ((101, 70), (102, 20), (103, 10)):
        await house.follower(master, account_id, equity_minor=equity * 1_000)
    given = np.zeros(3, dtype=np.int64)
    for number in range(10):
        await house.deal(64, 0.01, position=900 + number)
        (batch,) = await house.dispatch()
        given[batch.account_ids - 101] += batch.volumes_e8
        assert set(await reasons(house)) <= {"NONE", "BELOW_MIN_LOT"}
    assert given.tolist() == [7_000_000, 2_000_000, 1_000_000]


async def test_preview_has_no_effect(house):
    master = await house.master(AllocationMethod.DIVIDE_BY_EQUITY)
    await house.follower(master, 101, equity_minor=75_000)
    await house.follower(master, 102, equity_minor=25_000)
    trade = MasterTrade(0, 0, "EURUSD", -E8, 0, 0)
    allocation, page = await preview_trade(
        house.engine, house.desk, 1, master.master_id, trade, limit=10, now=house.clock.now()
    )
    assert (page.volumes_e8.tolist(), allocation.volume_sum_e8) == ([75_000_000, 25_000_000], -E8)
    assert (
        await list_allocations(house.engine, 1, AllocationFilter(with_follow_ups=True), before=INT64_MAX, limit=9) == []
    )
    assert await house.facts("allocations") == []
    await house.deal(64, -1.0, position=900)
    (batch,) = await house.dispatch()
    assert batch.volumes_e8.tolist() == [-75_000_000, -25_000_000]


async def test_a_preview_waits_for_no_lock_and_sees_what_was_committed(house):
    master = await house.master(AllocationMethod.DIVIDE_BY_EQUITY)
    await house.follower(master, 101, equity_minor=75_000)
    trade = MasterTrade(0, 0, "EURUSD", E8, 0, 0)

    async def previewed() -> list[int]:
        now = house.clock.now()
        _, page = await preview_trade(house.engine, house.desk, 1, master.master_id, trade, limit=10, now=now)
        return page.volumes_e8.tolist()

    await previewed()  # the set of subscriptions is in memory from here on
    async with transaction(house.engine) as tx:
        await load_master(tx, 1, master.master_id, lock="update")
        assert await previewed() == [E8]
    await house.follower(master, 102, equity_minor=25_000)
    assert await previewed() == [75_000_000, 25_000_000]


@pytest.mark.parametrize("small_rest", [False, True])
async def test_a_rest_below_min_lot_waits_or_is_closed(house, small_rest):
    house.symbols.grids["EURUSD"] = SymbolGrid(E8 // 100, E8 // 2, 100 * E8)
    master = await house.master()
    await house.follower(master, 101, settings=CopySettings(close_small_rest=small_rest))
    await house.deal(64, 1.0, position=900)
    (batch,) = await house.dispatch()
    await house.fill(batch, first_position=5_000)
    await house.deal(64, -0.7, position=900, entry=OUT)
    (close,) = await house.dispatch()
    assert close.volumes_e8.tolist() == [-E8 if small_rest else -E8 // 2]
