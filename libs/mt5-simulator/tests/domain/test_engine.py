from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.mt5_simulator.codes import MarginMode, Reason, Refused, Retcode, Side, StopOutActivation
from apportion.mt5_simulator.domain.engine import Engine
from apportion.mt5_simulator.domain.figures import E8
from apportion.mt5_simulator.domain.records import Deal, MarketRequest, ModifyRequest

START_MS = 1_772_532_000_000
DAY_MS = 86_400_000


def trade(engine: Engine, login: int, side: Side, volume_e8: int, position: int = 0, symbol: str = "EURUSD") -> Deal:
    request = MarketRequest(login=login, symbol=symbol, side=side, volume_e8=volume_e8, position=position)
    return engine.execute(request, START_MS)


def guard(engine: Engine, login: int, position: int, sl_e8: int, tp_e8: int) -> None:
    engine.modify(ModifyRequest(login=login, position=position, price_sl_e8=sl_e8, price_tp_e8=tp_e8), START_MS)


def test_profit_is_converted_to_the_accounts_currency(engine, open_account) -> None:
    """0.1 lot EURUSD up 100 points is 100.00 USD; in euros divided by the ask, in yen times the bid of USDJPY.

    In minor units of so many digits as the group says: JPY may have two, and cents have two as well.
    """
    expectations = {"forex-hedge-eur": 9049, "yen": 15_000, "yen-2": 1_500_000, "cents": 1_000_000}
    for group, expected in ((f"demo\\{name}", expected) for name, expected in expectations.items()):
        login = open_account(engine, 10_000_000, group)
        engine.set_price("EURUSD", 109_490_000, 109_500_000, START_MS)
        position = trade(engine, login, Side.BUY, E8 // 10).position
        engine.set_price("EURUSD", 110_500_000, 110_510_000, START_MS)
        assert trade(engine, login, Side.SELL, E8 // 10, position).profit_minor == expected


def test_a_lot_may_be_a_part_of_a_unit(engine, open_account) -> None:
    """2 lots of 0.01 BTC at 50 010: 1 000.20 USD, a hundredth of it as margin; up 1 000 they have earned 19.80."""
    login = open_account(engine, 1_000_000)
    position = trade(engine, login, Side.BUY, 2 * E8, symbol="BTCUSD").position
    assert engine.valuation.account(engine.ledger.users[login]).margin_minor == 1_000
    engine.set_price("BTCUSD", 51_000 * E8, 51_010 * E8, START_MS)
    assert trade(engine, login, Side.SELL, 2 * E8, position, "BTCUSD").profit_minor == 1_980


def test_a_hedged_volume_is_margined_once(engine, open_account) -> None:
    login = open_account(engine, 1_000_000)
    trade(engine, login, Side.BUY, E8)
    user = engine.ledger.users[login]
    assert engine.valuation.account(user).margin_minor == 110_000
    trade(engine, login, Side.SELL, E8)
    assert engine.valuation.account(user).margin_minor == 110_000
    trade(engine, login, Side.SELL, E8)
    assert engine.valuation.account(user).margin_minor == 220_000


def test_commission_is_part_of_each_deal(engine, open_account) -> None:
    login = open_account(engine, 1_000_000, "demo\\forex-hedge-usd-commission")
    opened = trade(engine, login, Side.BUY, E8 // 2)
    closed = trade(engine, login, Side.SELL, E8 // 2, opened.position)
    assert (opened.commission_minor, closed.commission_minor) == (-175, -175)
    assert engine.ledger.users[login].balance_minor == 1_000_000 - 350 - 500


@pytest.mark.parametrize(
    ("side", "price_e8", "reason", "comment"),
    [
        (Side.BUY, 109_400_000, Reason.STOP_LOSS, "[sl 1.09500]"),
        (Side.BUY, 112_000_000, Reason.TAKE_PROFIT, "[tp 1.11000]"),
        (Side.SELL, 112_000_000, Reason.STOP_LOSS, "[sl 1.11000]"),
        (Side.SELL, 109_400_000, Reason.TAKE_PROFIT, "[tp 1.09500]"),
    ],
)
def test_stops_fire_at_the_price_that_passed_them(engine, open_account, side, price_e8, reason, comment) -> None:
    login = open_account(engine, 1_000_000)
    position = trade(engine, login, side, E8 // 10).position
    low, high = 109_500_000, 111_000_000
    guard(engine, login, position, *((low, high) if side is Side.BUY else (high, low)))
    assert engine.set_price("EURUSD", 110_100_000, 110_110_000, START_MS) == []
    [deal] = engine.set_price("EURUSD", price_e8, price_e8 + 10_000, START_MS)
    assert (deal.reason, deal.comment, deal.position) == (reason, comment, position)
    assert deal.price_e8 == (price_e8 if side is Side.BUY else price_e8 + 10_000)
    assert engine.ledger.positions_of(login) == []


def test_stop_out_closes_the_worst_position_first_and_only_as_many_as_needed(engine, open_account) -> None:
    login = open_account(engine, 200_000)
    big = trade(engine, login, Side.BUY, E8).position
    small = trade(engine, login, Side.BUY, E8 // 10).position
    user = engine.ledger.users[login]
    assert engine.set_price("EURUSD", 108_700_000, 108_710_000, START_MS) == []
    assert engine.valuation.account(user).activation is StopOutActivation.MARGIN_CALL
    [deal] = engine.set_price("EURUSD", 108_400_000, 108_410_000, START_MS)
    assert (deal.reason, deal.position) == (Reason.STOP_OUT, big)
    assert deal.comment.startswith("so: ")
    assert [position.position for position in engine.ledger.positions_of(login)] == [small]


def test_swaps_are_added_at_midnight_and_booked_at_the_close(engine, open_account) -> None:
    """EURUSD long: −6.5 points, 0.5 lot: −3.25 a night; three times in the night of Wednesday, not at the weekend."""
    login = open_account(engine, 1_000_000)
    position = trade(engine, login, Side.BUY, E8 // 2).position
    midnight = START_MS - START_MS % DAY_MS + DAY_MS
    engine.step(midnight - 1)
    storages = []
    for night in range(6):  # the nights after Tuesday … Sunday
        engine.step(midnight + night * DAY_MS)
        storages.append(engine.ledger.positions[position].storage_minor)
    assert storages == [-325, -1300, -1625, -1950, -1950, -1950]
    half = trade(engine, login, Side.SELL, E8 // 4, position)
    rest = trade(engine, login, Side.SELL, E8 // 4, position)
    assert (half.storage_minor, rest.storage_minor) == (-975, -975)


def test_a_clock_that_jumps_over_days_rolls_over_each(engine, open_account) -> None:
    login = open_account(engine, 1_000_000)
    position = trade(engine, login, Side.BUY, E8 // 2).position
    engine.step(START_MS + 7 * DAY_MS)
    assert engine.ledger.positions[position].storage_minor == -325 * 7


def test_the_position_limit_of_a_group(engine, open_account) -> None:
    login = open_account(engine, 1_000_000)
    engine.valuation.group_of(login).limit_positions = 1
    trade(engine, login, Side.BUY, E8 // 100)
    with pytest.raises(Refused) as refused:
        trade(engine, login, Side.BUY, E8 // 100)
    assert refused.value.retcode == Retcode.POSITION_LIMIT


steps = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "close", "part", "deposit", "withdraw", "credit", "price", "night"]),
        st.integers(0, 1),
        st.integers(1, 300),
    ),
    max_size=40,
)


@settings(max_examples=150, deadline=None)
@given(
    steps,
    st.sampled_from(
        ["demo\\forex-hedge-usd-commission", "demo\\forex-hedge-eur", "demo\\yen", "demo\\forex-netting-usd"]
    ),
)
def test_the_books_always_balance(make_engine, open_account, actions, group) -> None:
    engine = make_engine()
    logins = [open_account(engine, 500_000, group), open_account(engine, 80_000, group)]
    now_ms = START_MS
    for kind, who, amount in actions:
        login = logins[who]
        held = engine.ledger.positions_of(login)
        try:
            match kind:
                case "buy" | "sell":
                    trade(engine, login, Side[kind.upper()], amount * E8 // 100)
                case "close" | "part" if held:
                    position = held[amount % len(held)]
                    volume_e8 = position.volume_e8 if kind == "close" else amount * E8 // 100
                    trade(engine, login, position.side.opposite, volume_e8, position.position)
                case "deposit" | "withdraw":
                    engine.change_balance(login, 2, amount * 1000 * (1 if kind == "deposit" else -1), "", now_ms)
                case "credit":
                    engine.change_balance(login, 3, amount * 100, "", now_ms)
                case "price":
                    bid_e8 = 95_000_000 + amount * 100_000
                    engine.set_price("EURUSD", bid_e8, bid_e8 + 8_000, now_ms)
                case "night":
                    now_ms += DAY_MS
                    engine.step(now_ms)
        except Refused:
            pass
        for login in logins:
            _check_books(engine, login)


def _check_books(engine: Engine, login: int) -> None:
    user = engine.ledger.users[login]
    assert (user.balance_minor, user.credit_minor) == engine.funds.history_minor(login)
    group = engine.valuation.group_of(login)
    held = engine.ledger.positions_of(login)
    state = engine.valuation.account(user)
    floating = sum(
        engine.valuation.position_profit_minor(position, group) + position.storage_minor for position in held
    )
    assert state.equity_minor == user.balance_minor + user.credit_minor + floating
    assert state.margin_free_minor == state.equity_minor - state.margin_minor
    assert not held or 100 * state.equity_minor >= group.stop_out_percent * state.margin_minor
    if group.margin_mode is MarginMode.NETTING:
        assert len({position.symbol for position in held}) == len(held)
    for position in held:
        traded = [deal for deal in engine.ledger.deals_of(login) if deal.position == position.lasting_id]
        signed = sum(deal.volume_e8 if deal.action == Side.BUY else -deal.volume_e8 for deal in traded)
        assert (position.volume_e8 if position.side is Side.BUY else -position.volume_e8) == signed != 0
        opened = sum(deal.volume_e8 - deal.volume_closed_e8 for deal in traded)
        assert position.volume_e8 == opened - sum(deal.volume_closed_e8 for deal in traded)
