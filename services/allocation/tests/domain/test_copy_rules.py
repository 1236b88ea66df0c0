"""What settings make of a master trade."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from allocation_sets import subscription_set

from apportion.allocation.domain.child_routes import routes_of_set
from apportion.allocation.domain.copy_rules import (
    Holdings,
    caps_e8,
    child_symbols,
    gate_reasons,
    limits_holdings,
)
from apportion.allocation.domain.copy_settings import CopySettings, DirectionFilter, LeavePolicy, check_settings
from apportion.allocation.domain.grids import SymbolGrid
from apportion.allocation.domain.reasons import SkipReason
from apportion.allocation.domain.symbols import SymbolSpec
from apportion.errors import InvalidArgument
from apportion.money import E8, INT64_MAX

FREE = CopySettings()
EURUSD = SymbolSpec("EURUSD", SymbolGrid(E8 // 100, E8 // 100, 100 * E8), 5, 100_000 * E8, "EUR", "USD", "EUR")


def gated(*settings, symbol="EURUSD", buys=True, age_ms=0, usable=frozenset({"EURUSD"}), holdings=None):
    subscriptions = subscription_set(len(settings), settings=settings)
    reasons = gate_reasons(subscriptions, symbol, buys=buys, age_ms=age_ms, usable_symbols=usable, holdings=holdings)
    return [SkipReason(reason).name for reason in reasons]


def holdings(volumes, counts):
    return Holdings(np.array(volumes, dtype=np.int64), np.array(counts, dtype=np.int64))


def test_nobody_is_kept_out_without_settings():
    assert gated(FREE, FREE) == []


@pytest.mark.parametrize(
    ("settings", "buys", "reason"),
    [
        (CopySettings(direction_filter=DirectionFilter.BUY_ONLY), True, "NONE"),
        (CopySettings(direction_filter=DirectionFilter.BUY_ONLY), False, "FILTERED"),
        (CopySettings(direction_filter=DirectionFilter.SELL_ONLY), True, "FILTERED"),
        (CopySettings(direction_filter=DirectionFilter.SELL_ONLY, reverse=True), False, "NONE"),
        (CopySettings(allowed_symbols=("GBPUSD",)), True, "FILTERED"),
        (CopySettings(allowed_symbols=("EURUSD", "GBPUSD")), True, "NONE"),
        (CopySettings(denied_symbols=("EURUSD",)), True, "FILTERED"),
        (CopySettings(allowed_symbols=("EURUSD",), denied_symbols=("EURUSD",)), True, "FILTERED"),
        (CopySettings(symbol_map=(("EURUSD", "EURUSD.m"),)), True, "SYMBOL_UNMAPPED"),
        (CopySettings(symbol_map=(("GBPUSD", "GBPUSD.m"),)), True, "NONE"),
        (CopySettings(max_age_ms=999), True, "TOO_LATE"),
        (CopySettings(max_age_ms=1_000), True, "NONE"),
    ],
)
def test_each_rule_alone(settings, buys, reason):
    blocked = CopySettings(denied_symbols=("EURUSD",))
    assert gated(settings, blocked, buys=buys, age_ms=1_000) == [reason, "FILTERED"]


def test_a_mapped_symbol_passes_when_it_can_be_traded():
    mapped = CopySettings(symbol_map=(("EURUSD", "EURUSD.m"),))
    assert gated(mapped, usable={"EURUSD.m"}) == []
    assert gated(FREE, mapped, usable={"EURUSD.m"}) == ["SYMBOL_UNMAPPED", "NONE"]


def test_routes():
    mapped = CopySettings(symbol_map=(("EURUSD", "EURUSD.m"),))
    subscriptions = subscription_set(4, settings=[FREE, mapped, CopySettings(reverse=True), mapped])
    routes = routes_of_set(subscriptions, "EURUSD", buys=False)
    assert [routes.symbols[row] for row in routes.symbol_rows] == ["EURUSD", "EURUSD.m", "EURUSD", "EURUSD.m"]
    assert routes.directions.tolist() == [-1, -1, 1, -1]
    assert child_symbols(subscriptions, "EURUSD") == {"EURUSD", "EURUSD.m"}
    assert routes_of_set(subscriptions, "GBPUSD", buys=True).symbols == ("GBPUSD",)
    assert routes.of(slice(1, 3)).directions.tolist() == [-1, 1]


def test_stops_and_slippage():
    rows = [FREE, CopySettings(reverse=True, max_slippage_points=7), CopySettings(ignore_stops=True)]
    routes = routes_of_set(subscription_set(4, settings=[*rows, FREE]), "EURUSD", buys=True)
    losses, profits = routes.stops_e8(109, 113, buys=True)
    assert (losses.tolist(), profits.tolist()) == ([109, 113, 0, 109], [113, 109, 0, 113])
    assert routes.max_slippages_e8(1_000).tolist() == [0, 7_000, 0, 0]


def test_no_caps_without_limits():
    assert caps_e8(subscription_set(3), EURUSD, {"EURUSD": 100 * E8}, None).size == 0
    assert not limits_holdings(subscription_set(3, settings=[FREE, FREE, CopySettings(max_lot_e8=1)]))


def test_caps_are_the_least_of_a_trade_and_what_is_left_of_the_total():
    rows = [
        FREE,
        CopySettings(max_lot_e8=2 * E8),
        CopySettings(max_total_lot_e8=5 * E8),
        CopySettings(max_lot_e8=2 * E8, max_total_lot_e8=5 * E8),
        CopySettings(max_total_lot_e8=5 * E8),
    ]
    subscriptions = subscription_set(5, settings=rows)
    assert limits_holdings(subscriptions)
    held = holdings([9 * E8, 9 * E8, E8, 4 * E8, 6 * E8], [1, 1, 1, 1, 1])
    assert caps_e8(subscriptions, EURUSD, {}, held).tolist() == [INT64_MAX, 2 * E8, 4 * E8, E8, 0]


def test_a_lower_max_lot_of_the_mapped_symbol_is_a_cap_and_a_higher_one_is_none():
    rows = [
        FREE,
        CopySettings(symbol_map=(("EURUSD", "EURUSD.m"),)),
        CopySettings(symbol_map=(("EURUSD", "EURUSD.x"),)),
    ]
    subscriptions = subscription_set(3, settings=rows)
    max_lots_e8 = {"EURUSD": 100 * E8, "EURUSD.m": 50 * E8, "EURUSD.x": 500 * E8}
    assert caps_e8(subscriptions, EURUSD, max_lots_e8, None).tolist() == [INT64_MAX, 50 * E8, INT64_MAX]


@pytest.mark.parametrize(
    ("step_lots", "min_lots", "contract_size", "digits", "is_like"),
    [
        (0.01, 0.01, 100_000, 5, True),
        (0.001, 0.001, 100_000, 5, False),
        (0.02, 0.02, 100_000, 5, False),
        (0.01, 0.02, 100_000, 5, False),
        (0.01, 0.01, 1_000, 5, False),
        (0.01, 0.01, 100_000, 3, False),
    ],
)
def test_which_symbols_trade_like_the_masters(step_lots, min_lots, contract_size, digits, is_like):
    grid = SymbolGrid(round(step_lots * E8), round(min_lots * E8), 50 * E8)
    child = replace(EURUSD, name="EURUSD.m", grid=grid, contract_size_e8=contract_size * E8, digits=digits)
    assert child.trades_like(EURUSD) is is_like


def test_the_count_of_open_positions_keeps_out():
    limited = CopySettings(max_open_positions=2)
    assert gated(limited, limited, FREE, holdings=holdings([0, 0, 0], [1, 2, 50])) == ["NONE", "CAPPED", "NONE"]


def test_bounds_are_told_together():
    with pytest.raises(InvalidArgument) as caught:
        check_settings(
            CopySettings(max_lot_e8=-1, max_open_positions=10**9, symbol_map=(("", "X"),), allowed_symbols=("A" * 33,))
        )
    assert [violation.field for violation in caught.value.violations] == [
        "settings.max_lot_e8",
        "settings.max_open_positions",
        "settings.allowed_symbols",
        "settings.symbol_map",
    ]
    check_settings(CopySettings(leave_policy=LeavePolicy.DETACH))
