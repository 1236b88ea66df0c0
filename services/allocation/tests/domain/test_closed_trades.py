"""Results of closed trades: by hand, and against a slow computation that follows each unit of volume."""

from __future__ import annotations

import statistics
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.allocation.domain.closed_trades import ClosedTrades, TradeDeal, TradeLedger, quotient, trade_figures
from apportion.allocation.domain.history import DAY_MS, HistoryEntry
from apportion.money import E8, INT64_MAX

IN, OUT, IN_OUT, OUT_BY = HistoryEntry.IN, HistoryEntry.OUT, HistoryEntry.IN_OUT, HistoryEntry.OUT_BY
MONDAY = 20_458
START_MS = MONDAY * DAY_MS
HOUR_MS = 3_600_000


def deal(entry: HistoryEntry, lots: float, profit=0, *, swap=0, commission=0, position=900, ms=0, counted=True):
    volume_e8 = round(lots * E8)
    return TradeDeal(position, entry, volume_e8, profit, swap, commission, START_MS + ms, counted)


def closed(*deals: TradeDeal) -> ClosedTrades:
    ledger = TradeLedger()
    for each in deals:
        ledger.add(each)
    return ledger.closed_trades()


def rows(trades: ClosedTrades) -> list[tuple[int, ...]]:
    return [tuple(row) for row in np.stack(trades.columns).T.tolist()]


def test_a_close_carries_the_costs_of_its_entry():
    found = closed(deal(IN, 1, commission=-70, swap=-5), deal(OUT, -1, 1_000, commission=-70, swap=-15, ms=HOUR_MS))
    # 1 000 − 70 − 15 − 75
    assert rows(found) == [(MONDAY, 1, 1, 0, 840, 0, 840, 840, 1, HOUR_MS)]


def test_partial_closes_take_their_part_and_the_rest_stays():
    found = closed(
        deal(IN, 3, commission=-100),
        deal(OUT, -1, 50),  # 50 − 33: −33⅓ half up
        deal(OUT, -1, 50, ms=DAY_MS),  # 50 − 33: −33.5 half up
        deal(OUT, -1, 50, ms=DAY_MS),  # 50 − 34
    )
    assert [row[4] for row in rows(found)] == [17, 33]
    assert sum(row[4] for row in rows(found)) == 150 - 100


def test_an_entry_after_a_partial_close_changes_no_result_of_before():
    before = [deal(IN, 2, commission=-40), deal(OUT, -1, 100)]
    after = [deal(IN, 1, commission=-30, ms=DAY_MS), deal(OUT, -2, 100, ms=DAY_MS)]
    assert rows(closed(*before, *after))[0] == rows(closed(*before))[0]
    assert rows(closed(*before, *after))[1][4] == 100 - 20 - 30


def test_a_reversal_closes_what_was_open_and_opens_the_rest():
    found = closed(
        deal(IN, 1, commission=-10),
        deal(IN_OUT, -3, 200, swap=-6, commission=-30, ms=HOUR_MS),  # 200 − 6 − 10 − 10; 20 go with the 2 lots
        deal(OUT, 2, -50, ms=3 * HOUR_MS),  # −50 − 20, held from the reversal on
    )
    assert rows(found) == [(MONDAY, 2, 1, 1, 174, 70, 174, -70, 2, 3 * HOUR_MS)]


@pytest.mark.parametrize("entry", [OUT, OUT_BY, IN_OUT])
def test_who_entered_before_the_history_has_the_deals_own_result_and_no_time(entry):
    assert rows(closed(deal(entry, -1, 40, swap=-1))) == [(MONDAY, 1, 1, 0, 39, 0, 39, 39, 0, 0)]


def test_a_close_of_more_than_is_known_takes_all_costs_once():
    found = closed(deal(IN, 1, commission=-10), deal(OUT, -2, 5), deal(OUT, -1, 5))
    assert rows(found) == [(MONDAY, 2, 1, 1, 5, 5, 5, -5, 1, 0)]


def test_what_is_open_is_no_trade_and_what_ends_at_0_neither_won_nor_lost():
    assert rows(closed(deal(IN, 1, commission=-10))) == []
    found = trade_figures(closed(deal(IN, 1, commission=-10), deal(OUT, -1, 10)))
    assert (found.closed_trade_count, found.won_trade_count, found.lost_trade_count, found.win_rate_e8) == (1, 0, 0, 0)
    assert (found.average_trade_minor, found.best_trade_minor, found.worst_trade_minor) == (0, 0, 0)
    assert (found.profit_factor_e8, found.average_win_minor, found.average_loss_minor) == (None, None, None)


def test_deals_that_do_not_count_still_carry_costs():
    found = closed(deal(IN, 1, commission=-10, counted=False), deal(OUT, -0.5, 7, counted=False), deal(OUT, -0.5, 9))
    assert rows(found) == [(MONDAY, 1, 1, 0, 4, 0, 4, 4, 1, 0)]


def test_figures_by_hand():
    found = trade_figures(
        closed(
            *(deal(IN, 1, position=number) for number in range(5)),
            deal(OUT, -1, 300, position=0, ms=1_000),
            deal(OUT, -1, 101, position=1, ms=2_000),
            deal(OUT, -1, -200, position=2, ms=DAY_MS),
            deal(OUT, -1, -50, position=3, ms=DAY_MS),
            deal(OUT, -1, 0, position=4, ms=DAY_MS),
        )
    )
    assert (found.closed_trade_count, found.won_trade_count, found.lost_trade_count) == (5, 2, 2)
    assert (found.gross_profit_minor, found.gross_loss_minor, found.net_profit_minor) == (401, 250, 151)
    assert (found.profit_factor_e8, found.win_rate_e8) == (160_400_000, 40_000_000)  # 401 ÷ 250, 2 ÷ 5
    assert found.average_trade_minor == 30  # 30.2
    assert (found.average_win_minor, found.average_loss_minor) == (200, 125)  # 200.5 half to even
    assert (found.best_trade_minor, found.worst_trade_minor) == (300, -200)
    assert found.average_holding_seconds == 51_841  # (1 + 2 + 3 × 86 400) ÷ 5 = 51 840.6


def test_without_a_trade_there_is_nothing():
    found = trade_figures(closed())
    assert (found.closed_trade_count, found.net_profit_minor, found.gross_profit_minor) == (0, 0, 0)
    for name in found.__slots__[6:]:
        assert getattr(found, name) is None, name


def test_a_span_has_its_own_days():
    found = closed(*(deal(OUT, -1, 10 * day, ms=day * DAY_MS) for day in range(1, 5)))
    assert found.between(MONDAY + 2, MONDAY + 3).profits_minor.tolist() == [20, 30]
    assert found.between(MONDAY + 9, MONDAY + 9).counts.size == 0


def test_what_passes_int64_becomes_its_end():
    found = closed(*(deal(OUT, -1, sign * INT64_MAX) for sign in (1, 1, -1, -1, -1)))
    assert (found.profits_minor.tolist(), found.losses_minor.tolist()) == ([INT64_MAX], [INT64_MAX])
    more = trade_figures(closed(*(deal(OUT, -1, INT64_MAX, ms=day * DAY_MS) for day in range(3))))
    assert (more.net_profit_minor, more.average_trade_minor) == (INT64_MAX, INT64_MAX)
    assert (quotient(INT64_MAX * E8, 1), quotient(-INT64_MAX * E8, 1)) == (INT64_MAX, -INT64_MAX)


minor = st.integers(-10_000, 10_000)


@st.composite
def lives(draw: st.DrawFn) -> list[TradeDeal]:
    """Positions that open, grow, shrink, turn around and may end, a deal each minute."""
    open_lots: dict[int, int] = {}
    deals = []
    for number in range(draw(st.integers(0, 30))):
        position = draw(st.integers(1, 3))
        held = open_lots.get(position, 0)
        entry = draw(st.sampled_from([IN, OUT, IN_OUT, OUT_BY])) if held else IN
        lots = draw(st.integers(1, 5) if entry is IN else st.integers(1, held))
        if entry is IN_OUT:
            lots += held
        open_lots[position] = {IN: held + lots, IN_OUT: lots - held}.get(entry, held - lots)
        day_ms = number * 13 * HOUR_MS
        deals.append(
            deal(
                entry,
                lots,
                draw(minor) if entry is not IN else 0,
                swap=draw(minor),
                commission=draw(minor),
                position=position,
                ms=day_ms,
            )
        )
    return deals


def slow_results(deals: list[TradeDeal]) -> list[tuple[int, Fraction, int]]:
    """(server day, exact result, milliseconds held) of each closing deal: every lot carries its own costs."""
    lots_of: dict[int, list[Fraction]] = {}
    since: dict[int, int] = {}
    results = []
    for each in deals:
        own = lots_of.setdefault(each.position_ticket, [])
        count, costs = each.volume_e8 // E8, Fraction(each.swap_minor + each.commission_minor)
        if each.entry == IN:
            since[each.position_ticket] = since[each.position_ticket] if own else each.server_time_ms
            own += [costs / count] * count
            lots_of[each.position_ticket] = [sum(own, Fraction()) / len(own)] * len(own)
            continue
        held_ms = each.server_time_ms - since[each.position_ticket]
        taken = min(count, len(own))
        result = each.profit_minor + costs + sum(own[:taken], Fraction())
        del own[:taken]
        if count > taken:
            rest = Fraction(each.commission_minor * (count - taken), count)
            result -= rest
            own += [rest / (count - taken)] * (count - taken)
            since[each.position_ticket] = each.server_time_ms
        results.append((each.server_time_ms // DAY_MS, result, held_ms))
    return results


@given(lives())
def test_results_are_those_of_a_slow_computation(deals):
    found, slow = closed(*deals), slow_results(deals)
    days = sorted({day for day, _, _ in slow})
    assert found.server_days.tolist() == days
    for row in rows(found):
        results = [result for day, result, _ in slow if day == row[0]]
        assert row[1] == len(results)
        # Each close, and each before it in its position, rounds once: half a minor unit.
        assert abs((row[4] - row[5]) - sum(results)) <= Fraction(len(slow) * (len(slow) + 1), 2)
        assert abs(row[6] - max(results)) <= len(slow)
        assert abs(row[7] - min(results)) <= len(slow)
        assert (row[8], row[9]) == (len(results), sum(held for day, _, held in slow if day == row[0]))
    figures = trade_figures(found)
    if slow:
        assert abs(figures.average_trade_minor - statistics.mean(result for _, result, _ in slow)) <= len(slow)
        assert figures.average_holding_seconds == round(Fraction(sum(held for *_, held in slow), 1_000 * len(slow)))


@given(lives())
def test_what_is_closed_adds_up_to_what_was_booked(deals):
    flat = {}
    for each in deals:
        held = flat.get(each.position_ticket, 0)
        signed = each.volume_e8 if each.entry == IN else -each.volume_e8
        flat[each.position_ticket] = abs(held + signed) if each.entry == IN_OUT else held + signed
    ends = [deal(OUT, held / E8, position=ticket, ms=400 * DAY_MS) for ticket, held in flat.items() if held]
    booked = sum(each.profit_minor + each.swap_minor + each.commission_minor for each in deals)
    assert trade_figures(closed(*deals, *ends)).net_profit_minor == booked
